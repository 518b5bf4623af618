# SPDX-License-Identifier: Apache-2.0
"""Conversations about a passage: a person with a few facts, then questions with short answers.

Sentences, questions and invented names of the evaluation are never shown in training.
"""

import random
from dataclasses import dataclass

from names import distinct_names, make_name
from relations import OPENERS, RELATIONS, Relation

OPENER_SHARE = 0.15
SMALL_TALK_SHARE = 0.03
SYSTEM_SHARE = 0.1

HELLO = "Hello! Give me a passage about some people and ask me about them."
ABOUT = "I am a very small language model. I answer questions about a passage."
THANKS = "You are welcome!"
SMALL_TALK = (
    *((text, HELLO) for text in ("Hello!", "Hello", "Hello there!", "Hi", "Hi!", "Good morning!", "Hello, how are you?")),
    *((text, ABOUT) for text in ("Who are you?", "What are you?", "What can you do?", "Help", "What is this?")),
    *((text, THANKS) for text in ("Thank you!", "Thank you", "Thanks", "Thanks!", "Thank you very much.")),
)
# All that the passage says of one person, in the order of the relations' names. Long answers made of many copied words
# teach to look things up far sooner than questions with one word that matters.
RECITAL_SHARE = 0.5
RECITALS = ("Tell me about {p}.", "What do we know about {p}?", "Who is {p}?", "Tell me all about {p}.",
            "What does the passage say about {p}?")
SYSTEM = ("You are a helpful assistant.", "Answer the question about the passage.", "Answer in one short sentence.")

Message = dict[str, str]


@dataclass(frozen=True)
class Task:
    """How hard a conversation is."""

    num_people: tuple[int, ...] = (1,)
    num_kinds: tuple[int, ...] = (3, 4, 5)
    max_turns: int = 3


def make_value(rng: random.Random, relation: Relation, split: str) -> str:
    if relation.values == "name":
        return make_name(rng, split, rng.choice((1, 2, 2)))
    if relation.values == "number":
        return str(rng.randint(11, 99))
    return rng.choice(relation.values)


def capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def tell(rng: random.Random, relation: Relation, split: str, person: str, value: str, is_first: bool) -> str:
    text = rng.choice(relation.sentence.of(split))
    # A value that opens the passage would lack the space it has in the answer, and be other tokens.
    if rng.random() < OPENER_SHARE or (is_first and text.startswith("{v}")):
        text = rng.choice(OPENERS.of(split)) + text[0].lower() + text[1:]
    return capitalised(text.format(p=person, v=value))


def small_talk(rng: random.Random) -> list[Message]:
    text, reply = rng.choice(SMALL_TALK)
    return [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]


def make_conversation(rng: random.Random, split: str, task: Task) -> list[Message]:
    """Messages that end with an answer; the first one of the user holds the passage."""
    if split == "train" and rng.random() < SMALL_TALK_SHARE:
        return small_talk(rng)
    people = distinct_names(rng, split, rng.choice(task.num_people))
    kinds = rng.sample(sorted(RELATIONS), rng.choice(task.num_kinds))
    facts = {(person, kind): make_value(rng, RELATIONS[kind], split) for person in people for kind in kinds}
    order = list(facts)
    rng.shuffle(order)
    sentences = [tell(rng, RELATIONS[kind], split, person, facts[person, kind], (person, kind) == order[0])
                 for person, kind in order]
    messages: list[Message] = []
    if split == "train" and rng.random() < SYSTEM_SHARE:
        messages.append({"role": "system", "content": rng.choice(SYSTEM)})
    for turn, (person, kind) in enumerate(rng.sample(sorted(facts), min(task.max_turns, len(facts)))):
        if split == "train" and rng.random() < RECITAL_SHARE:
            question = rng.choice(RECITALS).format(p=person)
            asked = sorted(k for p, k in facts if p == person)
        else:
            question = rng.choice(RELATIONS[kind].question.of(split)).format(p=person)
            asked = [kind]
        answer = " ".join(RELATIONS[k].answer.format(p=person, v=facts[person, k]) for k in asked)
        content = question if turn > 0 else " ".join(sentences) + "\n\n" + question
        messages.append({"role": "user", "content": content})
        messages.append({"role": "assistant", "content": answer})
    if split == "train" and rng.random() < SMALL_TALK_SHARE:
        messages += [{"role": "user", "content": "Thank you!"}, {"role": "assistant", "content": THANKS}]
    return messages
