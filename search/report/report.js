"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const SVG = "http://www.w3.org/2000/svg";

  // Colors are names of the stylesheet's variables, so that charts follow the color scheme.
  const colors = () => {
    const style = getComputedStyle(document.documentElement);
    const resolve = (value) => {
      if (typeof value === "string") {
        const name = /^var\((--[a-z]+)\)$/.exec(value);
        return name ? style.getPropertyValue(name[1]).trim() : value;
      }
      if (Array.isArray(value)) return value.map(resolve);
      if (value && typeof value === "object") {
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolve(item)]));
      }
      return value;
    };
    return resolve;
  };

  const axis = (own) => ({
    gridcolor: "var(--line)", zerolinecolor: "var(--line)", linecolor: "var(--rule)", automargin: true, fixedrange: true, exponentformat: "e", ...own,
  });

  const layout = (chart) => {
    const element = document.getElementById(chart.id);
    return {
      paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: "var(--text)", size: 12 },
      margin: { l: 56, r: 20, t: 12, b: 44 }, height: Number(element.dataset.height), dragmode: false,
      legend: { orientation: "h", yanchor: "bottom", y: 1, x: 0, traceorder: "normal" }, hovermode: "closest", ...chart.layout,
      xaxis: axis(chart.layout.xaxis), yaxis: axis(chart.layout.yaxis),
    };
  };

  const draw = (chart) => {
    const resolve = colors();
    const chosen = document.querySelector(`input[name="${chart.id}-choice"]:checked`);
    const shown = chosen ? chart.choices[Number(chosen.value)] : null;
    const traces = chart.traces.map((trace, place) => ({ ...trace, visible: shown === null || shown[place] }));
    return Plotly.react(chart.id, resolve(traces), resolve(layout(chart)), { displayModeBar: false, responsive: true });
  };

  const create = (name, attributes, parent, text) => {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };

  const short = (value) => {
    const size = Math.abs(value);
    if (value !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
    return String(Number(value.toPrecision(3)));
  };

  // Sorts a table by a column; the first click sorts numbers from the largest on, and texts by the alphabet.
  const sortable = (table) => {
    const body = table.tBodies[0];
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
      const rows = [...body.rows];
      const key = (row) => row.cells[column].dataset.value;
      const numeric = rows.some((row) => key(row) !== undefined);
      const was = heading.getAttribute("aria-sort");
      const ascending = was === null ? !numeric : was === "descending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const sign = ascending ? 1 : -1;
      const missing = (row) => (numeric ? key(row) === undefined || key(row) === "nan" : row.cells[column].textContent === "");
      rows.sort((first, second) => {
        if (missing(first) || missing(second)) return missing(first) - missing(second);
        if (numeric) return sign * (Number(key(first)) - Number(key(second)));
        return sign * first.cells[column].textContent.localeCompare(second.cells[column].textContent);
      });
      body.append(...rows);
    }));
  };

  // A line for each trial across the axes; ranges on the axes, dragged or typed, keep rows of the table.
  const parallel = (chart) => {
    const place = document.getElementById(chart.id);
    const table = document.getElementById(chart.table);
    const rows = [...table.tBodies[0].rows];
    const count = rows.length;
    const ranges = chart.axes.map(() => [null, null]);
    const WIDTH = 60 + 110 * (chart.axes.length - 1) + 60, HEIGHT = 330, TOP = 44, BOTTOM = 300;
    const svg = create("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": place.parentElement.getAttribute("aria-label") }, place);
    const forward = (own) => (own.is_log ? Math.log10 : (value) => value);
    const scales = chart.axes.map((own) => {
      const values = own.values.filter((value) => value !== null).map(forward(own));
      const low = Math.min(...values), high = Math.max(...values);
      const width = high - low || 1;
      return {
        x: 60 + 110 * chart.axes.indexOf(own),
        y: (value) => BOTTOM - ((forward(own)(value) - low) / width) * (BOTTOM - TOP),
        value: (y) => {
          const share = Math.min(Math.max((BOTTOM - y) / (BOTTOM - TOP), 0), 1);
          return own.is_log ? 10 ** (low + share * width) : low + share * width;
        },
        ends: [low, high].map((end) => (own.is_log ? 10 ** end : end)),
      };
    });
    const paths = rows.map((_, line) => {
      let text = "", open = false;
      chart.axes.forEach((own, index) => {
        const value = own.values[line];
        if (value !== null) text += `${open ? "L" : "M"}${scales[index].x} ${scales[index].y(value).toFixed(1)}`;
        open = value !== null;
      });
      return create("path", { d: text, ...(chart.marked.includes(line) ? { class: "marked" } : {}) }, svg);
    });
    chart.marked.forEach((line) => svg.append(paths[line]));
    const brushes = chart.axes.map((own, index) => {
      const { x, ends } = scales[index];
      create("line", { x1: x, x2: x, y1: TOP, y2: BOTTOM }, svg);
      create("text", { x, y: 14, "text-anchor": "middle", class: "label" }, svg, own.label);
      create("text", { x, y: TOP - 8, "text-anchor": "middle" }, svg, short(ends[1]));
      create("text", { x, y: BOTTOM + 16, "text-anchor": "middle" }, svg, short(ends[0]));
      const brush = create("rect", { x: x - 9, width: 18, y: TOP, height: 0, class: "brush", visibility: "hidden" }, svg);
      drag(index, create("rect", { x: x - 22, width: 44, y: TOP - 4, height: BOTTOM - TOP + 8, class: "hit" }, svg));
      return brush;
    });

    function drag(index, hit) {
      let from = null;
      const at = (event) => {
        const box = svg.getBoundingClientRect();
        return (event.clientY - box.top) * (HEIGHT / box.height);
      };
      hit.addEventListener("pointerdown", (event) => { from = at(event); hit.setPointerCapture(event.pointerId); });
      hit.addEventListener("pointermove", (event) => {
        if (from !== null) keep(index, [from, at(event)].map(scales[index].value).sort((a, b) => a - b));
      });
      hit.addEventListener("pointerup", (event) => {
        if (from !== null && Math.abs(at(event) - from) < 3) keep(index, [null, null]);
        from = null;
      });
    }

    const inputs = [...document.querySelectorAll(`.ranges[data-chart="${chart.id}"] input`)];
    inputs.forEach((input) => input.addEventListener("input", () => {
      const end = input.dataset.end === "low" ? 0 : 1;
      ranges[Number(input.dataset.axis)][end] = input.value === "" ? null : Number(input.value);
      show();
    }));

    function keep(index, range) {
      ranges[index] = range;
      inputs.filter((input) => Number(input.dataset.axis) === index).forEach((input) => {
        const value = range[input.dataset.end === "low" ? 0 : 1];
        input.value = value === null ? "" : Number(value.toPrecision(4));
      });
      show();
    }

    function show() {
      let kept = 0;
      for (let line = 0; line < count; line += 1) {
        const isKept = ranges.every(([low, high], index) => {
          const value = chart.axes[index].values[line];
          if (low === null && high === null) return true;
          return value !== null && (low === null || value >= low) && (high === null || value <= high);
        });
        kept += isKept;
        paths[line].classList.toggle("out", !isKept);
        rows[line].hidden = !isKept;
      }
      document.getElementById(`${chart.id}-kept`).textContent = `${kept} of ${count} trials`;
      brushes.forEach((brush, index) => {
        const [low, high] = ranges[index];
        brush.setAttribute("visibility", low === null && high === null ? "hidden" : "visible");
        const clamp = (y) => Math.min(Math.max(y, TOP), BOTTOM);
        const top = clamp(high === null ? TOP : scales[index].y(high));
        const bottom = clamp(low === null ? BOTTOM : scales[index].y(low));
        brush.setAttribute("y", top);
        brush.setAttribute("height", Math.max(bottom - top, 1));
      });
    }

    document.querySelector(`.reset[data-chart="${chart.id}"]`).addEventListener("click", () => {
      chart.axes.forEach((_, index) => keep(index, [null, null]));
    });
  };

  // One chart at a time, so that the page answers meanwhile.
  const drawAll = async () => {
    for (const chart of data.charts) {
      await draw(chart);
      await new Promise((resolve) => { setTimeout(resolve); });
    }
  };
  document.querySelectorAll("table[id]").forEach(sortable);
  data.parallel.forEach(parallel);
  document.querySelectorAll(".choices").forEach((group) => group.addEventListener("change", () => {
    draw(data.charts.find((chart) => chart.id === group.dataset.chart));
  }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  matchMedia("print").addEventListener("change", drawAll);
  drawAll().then(() => { document.documentElement.dataset.drawn = "true"; });
})();
