# SPDX-License-Identifier: Apache-2.0
"""The kinds of facts that a passage tells about a person, each said and asked in many ways.

Training never shows the sentences and questions of "eval". p is the person, v the value. No answer begins with an
invented name: without the space before it, a name is made of other tokens, and copying it becomes spelling.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """Ways to say one thing; those of `eval` are kept for evaluation."""

    train: tuple[str, ...]
    eval: tuple[str, ...]

    def of(self, split: str) -> tuple[str, ...]:
        return self.train if split == "train" else self.eval


@dataclass(frozen=True)
class Relation:
    """One kind of fact."""

    sentence: Wording
    question: Wording
    answer: str
    values: tuple[str, ...] | str  # a closed list, or "name" for invented ones, or "number"


# fmt: off
OPENERS = Wording(
    ("As everyone knows, ", "It is true that ", "Today ", "A friend says that ", "In this town ", "We hear that ",
     "Last week we heard that ", "By the way, ", "It is well known that ", "They say that "),
    ("As we know, ", "It is said that ", "Everyone says that ", "This week we heard that "))

RELATIONS: dict[str, Relation] = {
    "city": Relation(
        Wording(("{p} lives in {v}.", "The home of {p} is in {v}.", "{p} has a house in {v}.",
                 "{v} is where {p} lives.", "For many years {p} has lived in {v}.", "{p} moved to {v} long ago.",
                 "In {v} you will find the house of {p}.", "{p} comes from a family in {v} and still lives there.",
                 "{p} calls {v} home.", "The house of {p} stands in {v}.", "{v} is the city of {p}.",
                 "Friends visit {p} in {v}.", "{v} is the city where {p} has a house.", "{v} is home to {p}.",
                 "The town where {p} has a house is {v}.", "The place where {p} lives is {v}.",
                 "{v} has been the city of {p} for years.", "{p} has had a home in {v} for long."),
                ("{p} has a home in {v}.", "{v} is the home of {p}.", "{p} has lived in {v} for many years.",
                 "In {v} you will find the home of {p}.", "The city where {p} lives is {v}.")),
        Wording(("Where does {p} live?", "In which city does {p} live?", "What is the home city of {p}?",
                 "Tell me where {p} lives.", "Which city is the home of {p}?", "Where is the house of {p}?",
                 "Do you know where {p} lives?", "In what city does {p} live?", "Which city has {p} lived in?",
                 "Tell me which city {p} lives in."),
                ("In what city is the home of {p}?", "Which city does {p} live in?", "Where is the home of {p}?")),
        "The home of {p} is in {v}.", "name"),
    "job": Relation(
        Wording(("{p} works as a {v}.", "{p} is a {v}.", "By trade {p} is a {v}.", "{p} became a {v} last year.",
                 "People know {p} as a good {v}.", "{p} earns money as a {v}.", "The work of a {v} suits {p} well.",
                 "Every morning {p} goes to work as a {v}.", "As a {v}, {p} is always busy.",
                 "The job of {p} is that of a {v}.", "For years {p} has worked as a {v}.",
                 "{p} learned the trade of a {v}."),
                ("{p} has work as a {v}.", "{p} is known as a {v}.", "For many years {p} has been a {v}.",
                 "Every morning {p} works as a {v}.", "The trade of {p} is that of a {v}.")),
        Wording(("What is the job of {p}?", "What does {p} do for work?", "What work does {p} do?",
                 "Tell me the job of {p}.", "What does {p} work as?", "Which job does {p} have?",
                 "Do you know the job of {p}?", "Tell me what job {p} does.", "Tell me what work {p} does.",
                 "Do you know what {p} works as?"),
                ("What job does {p} do?", "Tell me what {p} works as.", "What job does {p} have?")),
        "The job of {p} is {v}.",
        tuple("baker teacher farmer doctor painter pilot sailor tailor cook judge miner singer".split())),
    "colour": Relation(
        Wording(("{p} loves the colour {v}.", "The favourite colour of {p} is {v}.",
                 "{p} likes {v} more than any other colour.", "{v} is the colour that {p} likes best.",
                 "{p} always wears {v}, a favourite colour.", "Of all colours {p} likes {v} best.",
                 "{p} painted the door {v}, a favourite colour.", "No colour is better than {v}, says {p}.",
                 "The best colour for {p} is {v}.", "{p} finds that {v} is a lovely colour.",
                 "{v} is the best colour, says {p}.", "{p} likes {v} best of all colours."),
                ("The colour {p} loves is {v}.", "{p} likes the colour {v} best.", "{p} says that {v} is the best colour.",
                 "{v} is the favourite colour of {p}.")),
        Wording(("What is the favourite colour of {p}?", "Which colour does {p} like best?",
                 "Tell me the favourite colour of {p}.", "What colour does {p} love?",
                 "Which colour is best for {p}?", "Do you know the favourite colour of {p}?",
                 "Tell me which colour {p} loves.", "Do you know which colour {p} likes best?"),
                ("Which colour is the favourite of {p}?", "What colour does {p} like best?",
                 "Tell me which colour {p} likes best.")),
        "The favourite colour of {p} is {v}.",
        tuple("red blue green yellow purple orange white black brown grey".split())),
    "pet": Relation(
        Wording(("{p} has a {v}.", "{p} keeps a {v} as a pet.", "The pet of {p} is a {v}.", "A {v} lives with {p}.",
                 "{p} walks with a pet {v} each day.", "{p} bought a {v} at the market.", "Every day {p} feeds a {v}.",
                 "A {v} is the pet of {p}.", "{p} has a {v} for a pet.", "The {v} in the garden belongs to {p}.",
                 "{p} takes good care of a {v}."),
                ("{p} has a pet {v}.", "{p} keeps a {v}.", "A pet {v} lives with {p}.", "The pet {v} belongs to {p}.")),
        Wording(("What pet does {p} have?", "Which animal does {p} keep?", "What animal lives with {p}?",
                 "Tell me the pet of {p}.", "What is the pet of {p}?", "Which pet belongs to {p}?",
                 "Do you know the pet of {p}?"),
                ("Which pet does {p} keep?", "What animal does {p} have?", "What pet lives with {p}?")),
        "The pet of {p} is a {v}.",
        tuple("dog cat horse parrot rabbit goat turtle snake donkey hamster".split())),
    "food": Relation(
        Wording(("{p} eats {v} every day.", "The favourite food of {p} is {v}.", "{p} likes to eat {v}.",
                 "For dinner {p} always has {v}.", "No food is better than {v}, says {p}.",
                 "{p} cooks {v} for friends.", "{p} never says no to {v}.", "On the plate of {p} there is {v}.",
                 "{v} is the food that {p} likes best.", "At the market {p} buys {v} to eat."),
                ("{p} says that {v} is the best food.", "Every day {p} likes to eat {v}.",
                 "{p} likes {v} best of all food.", "{p} always eats {v} for dinner.")),
        Wording(("What does {p} like to eat?", "What is the favourite food of {p}?", "Which food does {p} eat?",
                 "Tell me what {p} eats.", "What food does {p} like best?", "Do you know what {p} eats?"),
                ("What food does {p} like to eat?", "Tell me the favourite food of {p}.",
                 "Which food does {p} like to eat?")),
        "The favourite food of {p} is {v}.",
        tuple("soup bread rice cheese apples noodles fish honey beans cake".split())),
    "sport": Relation(
        Wording(("{p} plays {v} on Sundays.", "{p} is good at {v}.", "The sport of {p} is {v}.",
                 "{p} trains hard for {v}.", "In the evening {p} plays {v}.", "{p} won a prize in {v}.",
                 "{v} is the sport that {p} enjoys.", "The sport that {p} likes is {v}.",
                 "{p} meets friends to play {v}.", "On Sundays {p} is busy with {v}."),
                ("On Sundays {p} trains for {v}.", "{p} enjoys the sport of {v}.", "In the evening {p} trains for {v}.",
                 "{v} is the sport of {p}.")),
        Wording(("Which sport does {p} play?", "What sport is {p} good at?", "Tell me the sport of {p}.",
                 "What does {p} play on Sundays?", "Which sport does {p} enjoy?", "Do you know the sport of {p}?"),
                ("What is the sport of {p}?", "Which sport is {p} good at?", "What sport does {p} play?")),
        "The sport of {p} is {v}.", tuple("chess tennis football hockey golf rugby boxing rowing".split())),
    "age": Relation(
        Wording(("{p} is {v} years old.", "{p} turned {v} this year.", "The age of {p} is {v}.",
                 "At the age of {v}, {p} is happy.", "{p} has just turned {v} years old.",
                 "{p} is now {v} years of age.", "{p} is {v} years of age.", "It is {v} years since {p} was born.",
                 "{p} has reached the age of {v}.", "With {v} years {p} feels young."),
                ("{p} has turned {v}.", "{p} is happy at the age of {v}.", "{p} was born {v} years since.",
                 "This year {p} has reached {v} years.")),
        Wording(("How old is {p}?", "What is the age of {p}?", "Tell me the age of {p}.", "Do you know how old {p} is?",
                 "Which age has {p} reached?"),
                ("Tell me how old {p} is.", "What age is {p}?", "Do you know the age of {p}?")),
        "The age of {p} is {v}.", "number"),
    "company": Relation(
        Wording(("{p} works for {v}.", "The company that pays {p} is {v}.", "{p} has a job at {v}.",
                 "{p} was hired by {v}.", "{v} is the company where {p} works.",
                 "Since last spring {p} has been paid by {v}.", "The employer of {p} is {v}.",
                 "{p} is employed by {v}.", "The company of {p} is {v}.", "{p} has worked for {v} for years.",
                 "{v} employs {p}.", "{v} is the company of {p}.", "{v} pays {p} well.", "{v} hired {p} last year.",
                 "{v} is the employer that {p} likes.", "{v} is the firm that hired {p}.", "{p} is well paid by {v}."),
                ("{v} is the employer of {p}.", "{p} has worked for {v} since last spring.", "{p} is paid by {v}.",
                 "{v} is the company that pays {p}.")),
        Wording(("Which company does {p} work for?", "Who is the employer of {p}?", "Where does {p} have a job?",
                 "Tell me the company of {p}.", "Who pays {p}?", "What company hired {p}?",
                 "Do you know the employer of {p}?", "Which company has {p} worked for?", "What firm pays {p}?",
                 "Tell me which company {p} works for."),
                ("Which company pays {p}?", "Tell me the employer of {p}.", "What company does {p} work for?")),
        "The company of {p} is {v}.", "name"),
    "instrument": Relation(
        Wording(("{p} plays the {v}.", "{p} owns an old {v}.", "At night {p} practises the {v}.",
                 "{p} is learning the {v}.", "The instrument of {p} is the {v}.", "Neighbours hear {p} play the {v}.",
                 "{p} gives lessons on the {v}.", "The {v} is the instrument that {p} plays.",
                 "With friends {p} plays music on the {v}.", "The old {v} in the house belongs to {p}."),
                ("{p} practises the {v} at night.", "Neighbours hear the {v} of {p}.",
                 "{p} plays music on an old {v}.", "The {v} is the instrument of {p}.")),
        Wording(("Which instrument does {p} play?", "What instrument does {p} practise?",
                 "Tell me the instrument of {p}.", "What music does {p} play?", "Which instrument belongs to {p}?",
                 "Do you know the instrument of {p}?"),
                ("What instrument does {p} play?", "What is the instrument of {p}?",
                 "Tell me which instrument {p} plays.")),
        "The instrument of {p} is the {v}.", tuple("violin piano drum guitar flute harp trumpet cello".split())),
}
# fmt: on
