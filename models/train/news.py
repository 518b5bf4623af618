# SPDX-License-Identifier: Apache-2.0
"""Short news articles with their summaries.

An article tells an event in a lead sentence and details, with sentences that do not matter between them; the summary
is two fixed sentences over its facts. Evaluation uses sentence templates and names that training never shows.
"""

import random
from dataclasses import dataclass

from names import make_name

MONTHS = "January March April June July August October November".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


@dataclass(frozen=True)
class Sentence:
    """Ways to say one thing; the last are kept for evaluation."""

    train: tuple[str, ...]
    eval: tuple[str, ...]


@dataclass(frozen=True)
class Event:
    lead: Sentence
    details: tuple[Sentence, ...]
    summary: str


EVENTS: tuple[Event, ...] = (
    Event(
        Sentence(("{o} said on {d} that it will buy {o2} for {n} million dollars.",
                  "On {d}, {o} agreed to buy {o2} and to pay {n} million dollars.",
                  "{o} will pay {n} million dollars for {o2}, it said on {d}.",
                  "For {n} million dollars {o} will buy {o2}, both said on {d}."),
                 ("On {d}, {o} said that it will pay {n} million dollars to buy {o2}.",)),
        (Sentence(("The deal was led by {p}, the head of {o}.", "{p} led the deal.", "Head of the deal was {p}.",
                   "It was {p} who led the deal."), ("The head of the deal, {p}, led it.",)),
         Sentence(("{o2} is based in {c}.", "The firm has its office in {c}.", "Its home is {c}.",
                   "The office of the firm is in {c}."), ("The firm {o2} has its home in {c}.",))),
        "{o} buys {o2} for {n} million dollars. {p} led the deal with the firm from {c}."),
    Event(
        Sentence(("A fire destroyed a {b} in {c} on {d} and hurt {n} people.",
                  "{n} people were hurt when a {b} burned in {c} on {d}.",
                  "On {d} a {b} in {c} burned down and {n} people were hurt.",
                  "In {c} a fire in a {b} hurt {n} people on {d}."),
                 ("On {d} a fire in {c} destroyed a {b} and {n} people were hurt.",)),
        (Sentence(("Fire chief {p} said the cause was {x}.", "The cause was {x}, said fire chief {p}.",
                   "{p}, the fire chief, named {x} as the cause.", "It was caused by {x}, fire chief {p} said."),
                  ("The fire chief, {p}, said it was caused by {x}.",)),),
        "A fire in a {b} in {c} hurt {n} people. Fire chief {p} said the cause was {x}."),
    Event(
        Sentence(("{p} won the {z} prize in {c} on {d}.", "The {z} prize went to {p} in {c} on {d}.",
                  "On {d} the {z} prize was given to {p} in {c}.", "In {c} {p} was given the {z} prize on {d}."),
                 ("On {d} {p} won the {z} prize in {c}.",)),
        (Sentence(("The prize is worth {n} thousand dollars.", "It is worth {n} thousand dollars.",
                   "The winner gets {n} thousand dollars.", "With it come {n} thousand dollars."),
                  ("The winner gets a prize worth {n} thousand dollars.",)),
         Sentence(("{p} will share it with {p2}.", "A part goes to {p2}.", "{p2} will get a part of it.",
                   "The winner wants to share it with {p2}."), ("The winner will share a part of it with {p2}.",))),
        "{p} won the {z} prize in {c}. It is worth {n} thousand dollars and is shared with {p2}."),
    Event(
        Sentence(("{c} beat {c2} {s} to {s2} in the {k} final on {d}.", "The {k} final on {d} was won by {c}, {s} to {s2} against {c2}.",
                  "On {d} {c} won the {k} final against {c2}, {s} to {s2}.", "With {s} to {s2} {c} beat {c2} in the {k} final on {d}."),
                 ("On {d} {c} beat {c2} in the {k} final, {s} to {s2}.",)),
        (Sentence(("{p} scored the last point.", "The last point was scored by {p}.", "It was {p} who scored the last point.",
                   "In the end {p} scored."), ("In the end the last point was scored by {p}.",)),
         Sentence(("Coach {p2} was happy.", "A happy coach {p2} thanked the team.", "The team was thanked by coach {p2}.",
                   "The coach, {p2}, was glad."), ("The happy coach {p2} thanked the team.",))),
        "{c} beat {c2} {s} to {s2} in the {k} final. {p} scored last for coach {p2}."),
    Event(
        Sentence(("{o} will open a factory in {c} in {m}.", "In {m} {o} will open a new factory in {c}.",
                  "A factory of {o} will open in {c} in {m}.", "{c} gets a new factory of {o} in {m}."),
                 ("In {m} a new factory of {o} will open in {c}.",)),
        (Sentence(("It will bring {n} jobs, said {p}.", "{p} said that it will bring {n} jobs.", "There will be {n} jobs, {p} said.",
                   "Manager {p} spoke of {n} new jobs."), ("{n} new jobs will come, said manager {p}.",)),
         Sentence(("The reason is {r}.", "The firm named {r} as the reason.", "It was planned because of {r}.",
                   "Behind the plan is {r}."), ("The firm said that the reason is {r}.",))),
        "{o} opens a factory in {c} in {m}. {p} spoke of {n} jobs and named {r}."),
    Event(
        Sentence(("Thieves took a {i} worth {n} million dollars from {o} in {c} on {d}.",
                  "A {i} worth {n} million dollars was taken from {o} in {c} on {d}.",
                  "On {d} thieves came to {o} in {c} and took a {i} worth {n} million dollars.",
                  "In {c} a {i} was stolen from {o} on {d}; it is worth {n} million dollars."),
                 ("On {d} a {i} worth {n} million dollars was stolen from {o} in {c}.",)),
        (Sentence(("Detective {p} is looking for them.", "The case went to detective {p}.", "{p}, a detective, has the case.",
                   "Police gave the case to detective {p}."), ("The detective on the case is {p}.",)),),
        "A {i} worth {n} million dollars was stolen from {o} in {c}. Detective {p} has the case."),
    Event(
        Sentence(("Scientists led by {p} found a new {a} near {c} in {m}.", "A new {a} was found near {c} in {m} by the team of {p}.",
                  "In {m} the team of {p} found a new {a} near {c}.", "Near {c} a new {a} was found in {m} by {p} and a team."),
                 ("In {m} a new {a} was found near {c} by scientists led by {p}.",)),
        (Sentence(("It is {n} millimetres long.", "The animal measures {n} millimetres.", "It measures only {n} millimetres.",
                   "Its length is {n} millimetres."), ("The animal is only {n} millimetres long.",)),
         Sentence(("{o} paid for the study.", "The study was paid for by {o}.", "Money for it came from {o}.",
                   "It was {o} that paid for the work."), ("The money for the study came from {o}.",))),
        "The team of {p} found a new {a} near {c}. It is {n} millimetres long and {o} paid for the study."),
    Event(
        Sentence(("A court in {c} sent {p} to prison for {n} months for {f} on {d}.",
                  "{p} must go to prison for {n} months for {f}, a court in {c} said on {d}.",
                  "For {f} {p} must go to prison for {n} months, said a court in {c} on {d}.",
                  "On {d} a court in {c} gave {p} {n} months in prison for {f}."),
                 ("On {d} a court in {c} sent {p} to prison for {n} months for {f}.",)),
        (Sentence(("Judge {p2} spoke of a sad case.", "It was a sad case, said judge {p2}.", "The judge, {p2}, called it sad.",
                   "{p2} was the judge."), ("The judge in the sad case was {p2}.",)),),
        "{p} must go to prison for {n} months for {f}. The judge in {c} was {p2}."),
)

FILLERS = Sentence(
    ("The weather stayed {w} all week.", "Shops in the area saw {w2} sales.", "Traffic on the main road was {w3}.",
     "Schools will be closed on {d2}.", "The next town meeting is in {m2}.", "Museum tickets cost the same as before.",
     "Bus line {n2} runs every half hour.", "A market opens there every {d2}.", "The old bridge is still closed.",
     "Neighbours were {w4} about the news."),
    ("All week the weather was {w}.", "Sales in the shops were {w2}.", "The main road saw {w3} traffic.",
     "The old bridge will be closed on {d2}.", "In {m2} is the next meeting of the town.", "The market runs every {d2}."))


def make_slots(rng: random.Random, split: str) -> dict[str, str]:
    def firm() -> str:
        return make_name(rng, split, 1) + " " + rng.choice("Bank Motors Foods Media Steel Energy Tools".split())

    return {
        "p": make_name(rng, split), "p2": make_name(rng, split), "c": make_name(rng, split), "c2": make_name(rng, split),
        "o": firm(), "o2": firm(), "n": str(rng.randint(2, 99)), "n2": str(rng.randint(2, 99)),
        "s": str(rng.randint(5, 9)), "s2": str(rng.randint(0, 4)), "d": rng.choice(DAYS), "d2": rng.choice(DAYS),
        "m": rng.choice(MONTHS), "m2": rng.choice(MONTHS),
        "b": rng.choice("warehouse library hotel school bakery theatre".split()),
        "x": rng.choice(("a broken heater", "a gas leak", "lightning", "a candle", "an old battery")),
        "z": rng.choice("physics chemistry poetry medicine peace".split()),
        "k": rng.choice("football hockey handball tennis".split()),
        "r": rng.choice(("lower costs", "strong demand", "new rules", "high energy prices")),
        "i": rng.choice("painting necklace statue violin crown".split()),
        "a": rng.choice("frog beetle bat lizard spider fish".split()),
        "f": rng.choice("fraud theft arson bribery".split()),
        "w": rng.choice("dry wet cold warm windy".split()), "w2": rng.choice("strong weak steady".split()),
        "w3": rng.choice("heavy light normal".split()), "w4": rng.choice("happy worried surprised angry".split()),
    }


def capitalised(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def make_article(rng: random.Random, split: str) -> tuple[str, str]:
    """An article and its summary."""
    event = rng.choice(EVENTS)
    slots = make_slots(rng, split)

    def say(sentence: Sentence) -> str:
        return rng.choice(sentence.train if split == "train" else sentence.eval)

    rest = [say(detail) for detail in event.details]
    fillers = FILLERS.train if split == "train" else FILLERS.eval
    rest += rng.sample(fillers, rng.randint(1, 3))
    rng.shuffle(rest)
    sentences = [say(event.lead), *rest]
    if rng.random() < 0.2:
        sentences[0], sentences[1] = sentences[1], sentences[0]
    article = " ".join(capitalised(s.format(**slots)) for s in sentences)
    return article, event.summary.format(**slots)


def make_prompt(article: str) -> str:
    """What the model is given; the summary follows after one space."""
    return f"{article}\n\nSummary:"
