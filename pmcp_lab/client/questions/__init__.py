"""What a server asks of its client's people and models: elicitation, sampling, and who answers. Who may be asked at is
an `Asker`; how an answer travels is known to whoever asks."""

from pmcp_lab.client.questions.elicitation import Asker, Elicitations, InputCallback, Question, openable, read_question
from pmcp_lab.client.questions.sampling import SAMPLING_HOW, SAMPLING_REFUSED, Sampling, SamplingCallback, sample

__all__ = [
    "SAMPLING_HOW",
    "SAMPLING_REFUSED",
    "Asker",
    "Elicitations",
    "InputCallback",
    "Question",
    "Sampling",
    "SamplingCallback",
    "openable",
    "read_question",
    "sample",
]
