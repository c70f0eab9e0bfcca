"""The verdict in one sentence, the gates that it follows from, and what luck alone would give."""

from __future__ import annotations

import math

import numpy as np

from core.data.labels import BUY, SELL
from core.data.summary import smallest_provable_auc
from search.report.campaign_data import CampaignData
from search.report.elements import Note, Part, Section, Table
from search.report.wording import count, figure, metric_name, metric_sentence
from search.results.predictions import TEST
from search.results.verdict import GateResult, Verdict
from search.statistics.luck import lead_by_luck
from search.statistics.overfitting import overfitting_probability

_SYNTHETIC = (
    "The data are SYNTHETIC: an artificial market with a planted signal. No figure here says anything about a real one."
)


def make_section(campaign: CampaignData) -> Section:
    """Make the section that says what may be claimed of the winner."""
    verdict = campaign.verdict
    sentences = [_SYNTHETIC] if campaign.record.data.synthetic else []
    sentences += [state_sentence(campaign), *campaign.problems]
    if verdict is not None:
        sentences += _sentences_on(verdict)
    if campaign.record.dry_run:
        sentences.append("This was a dry run: a small version of the campaign, from which nothing is ever certified.")
    sentences.append(metric_sentence(campaign.metric))
    parts: list[Part] = [_gates(verdict)] if verdict is not None and verdict.gates else []
    luck = luck_sentences(campaign)
    if luck:
        parts.append(Note("What luck alone would give", tuple(luck)))
    commands = () if campaign.status is None else campaign.status.next_commands
    return Section(
        "verdict", "Verdict", tuple(sentences), tuple(parts), tuple(f"preset-search {command}" for command in commands)
    )


def headline(campaign: CampaignData) -> str:
    """Return the verdict in one sentence, or how far the campaign is where there is none."""
    verdict = campaign.verdict
    if verdict is None:
        return state_sentence(campaign)
    winner, incumbent = f"Trial #{verdict.winner.trial}", verdict.incumbent.preset
    match verdict.status:
        case "certified":
            return f"Certified: {winner} passed every gate. Recommended for use: {_recommended(verdict)}."
        case "too short to tell":
            return (
                f"Too short to tell: nothing speaks against {winner[0].lower()}{winner[1:]}, but the test span holds "
                "too "
                f"little independent time to prove anything. Recommended for use: {_recommended(verdict)}."
            )
    failed = [gate.name for gate in verdict.gates if gate.verdict == "fail"]
    reasons = "; ".join(failed) or verdict.reason or "it was a dry run"
    keep = f" Keep using {incumbent}." if verdict.recommended == "incumbent" else ""
    return f"Not certified: {winner} did not pass ({reasons}).{keep}"


def _recommended(verdict: Verdict) -> str:
    return (
        f"trial #{verdict.winner.trial}"
        if verdict.recommended == "winner"
        else f"the incumbent, {verdict.incumbent.preset}"
    )


def state_sentence(campaign: CampaignData) -> str:
    """Return a sentence that says how far the campaign is."""
    status, trials = campaign.status, count(len(campaign.trials), "trial")
    if status is None:
        return f"The state of this campaign cannot be told; its journal holds {trials}."
    if campaign.is_running:
        return f"This campaign is still at work ({status.phase}): what follows is what it has so far, {trials}."
    if campaign.verdict is None:
        begun = f"{trials} so far" if status.remaining else trials
        return f"There is no verdict yet ({status.phase}; {begun}): figures of the search alone are optimistic."
    return f"The search ran {trials}; then its best were trained again and judged ({status.phase})."


def _sentences_on(verdict: Verdict) -> list[str]:
    """Return the sentences on what limits the claim."""
    sentences = []
    if verdict.schema_version == 1:
        sentences.append(
            "An early version made this verdict by rules that are no longer trusted; preset-search judge makes it anew."
        )
    if verdict.reason:
        sentences.append(f"The test rows were not read: {verdict.reason.rstrip('.')}.")
    sentences += [
        f"Campaign {entry.campaign} had read some of this test span before ({' and '.join(entry.saw)})."
        for entry in verdict.earlier_entries
    ]
    if tradable := verdict.tradable:
        ratio = tradable.probabilistic_sharpe
        known = "not defined" if ratio is None else f"{ratio:.3f}"
        sentences.append(
            f"Would following the calls have earned money on the test rows, net of costs, beyond luck? "
            f"{tradable.verdict.capitalize()} (probability {known}, more than {tradable.bound} needed). This decides "
            "nothing "
            "about the verdict."
        )
    return sentences


def _gates(verdict: Verdict) -> Table:
    """Return the table of the gates, each with what luck alone reaches."""
    rows = tuple((gate.name, _gate_value(gate), gate.bound, gate.verdict) for gate in verdict.gates)
    return Table("The gates: all must be passed to be certified", ("gate", "value", "bound", "verdict"), rows)


def _gate_value(gate: GateResult) -> str:
    return "not measured" if gate.value is None else figure(gate.value)


def luck_sentences(campaign: CampaignData) -> list[str]:
    """Return sentences on what would come out if no model knew anything, and if no trial were better than others."""
    return [*_luck_of_search(campaign), *_luck_on_test(campaign)]


def _luck_of_search(campaign: CampaignData) -> list[str]:
    blocks = block_scores(campaign)
    if blocks is None or len(blocks) < 2:
        return []
    means = np.nanmean(blocks, axis=1)
    lead, by_luck = float(means.max() - means.mean()), lead_by_luck(blocks)
    sentences = []
    if math.isfinite(by_luck):
        sentences.append(
            f"If all {len(blocks)} trials were equally good, the best of them would still lead their mean by about "
            f"{by_luck:.4f} in {metric_name(campaign.metric)} after {campaign.step} {campaign.first_rung}; the best of "
            f"this search leads by {lead:.4f}."
        )
    probability = overfitting_probability(blocks)
    if math.isfinite(probability):
        sentences.append(
            f"Probability of overfitting: {probability:.2f}. So often the trial that is best on one half of the "
            "validation time is below the middle on the other half; 0.50 means that choosing was worth nothing."
        )
    return sentences


def block_scores(campaign: CampaignData) -> np.ndarray | None:
    """Return the score of each trial on each block of validation time at the first rung, `[N, B]`.

    None where the version that ran the campaign did not record such scores.
    """
    recorded = campaign.curves.loc[campaign.curves["val_blocks"].notna(), "val_blocks"]
    lengths = {len(scores) for scores in recorded}
    return np.stack(list(recorded)).astype(np.float64) if len(lengths) == 1 else None


def _luck_on_test(campaign: CampaignData) -> list[str]:
    verdict, predictions = campaign.verdict, campaign.predictions
    if verdict is None or verdict.test is None or predictions is None:
        return []
    labels = predictions.loc[predictions["split"] == TEST, "label"].to_numpy()
    reach = direction_auc_by_luck(labels, verdict.data.horizon * len(verdict.data.symbols))
    measured = verdict.test.direction_auc.value
    return [
        f"A model that knows nothing of the direction has a direction AUC of 0.5 on average, and one in twenty such "
        f"models reaches {reach:.4f} on these test rows by luck; the winner has {figure(measured) or 'none'}."
    ]


def direction_auc_by_luck(labels: np.ndarray, dependent: int) -> float:
    """Return the direction AUC that one in twenty models without skill exceeds.

    Args:
        labels: the true classes of the rows, `[N]`.
        dependent: how many rows count as one: labels overlap over the horizon, and symbols move together.
    """
    return smallest_provable_auc(int((labels == SELL).sum()), int((labels == BUY).sum()), dependent)
