// SPDX-License-Identifier: Apache-2.0
#include "eval/gate_report.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "eval/gate_tables.h"

namespace veloz::eval {
namespace {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();

AnswerScores summaries() {
  return {.num_items = 100,
          .rouge1 = 0.40,
          .rouge2 = 0.20,
          .rouge_l = 0.30,
          .rouge_lsum = 0.35,
          .exact = 0.5,
          .tokens_per_item = 50};
}

GateReport report_of(Task task, const AnswerScores& scores, const AnswerScores& reference) {
  GateReport report{.model = "m", .reference = "r", .data = "d", .task = task};
  report.answers = scores;
  report.reference_answers = reference;
  judge(report);
  return report;
}

/// The verdict on summaries of which one number is `share` of the original's.
Verdict verdict_of(double AnswerScores::*number, double share) {
  AnswerScores scores = summaries();
  scores.*number *= share;
  return report_of(Task::summarize, scores, summaries()).verdict;
}

TEST(Gate, PassesWhatIsAsGoodAsTheOriginal) {
  EXPECT_EQ(verdict_of(&AnswerScores::rouge1, 1), Verdict::pass_99_9);
  EXPECT_EQ(verdict_of(&AnswerScores::rouge1, 1.05), Verdict::pass_99_9);
}

TEST(Gate, AsksForEachRougeOfASummary) {
  for (double AnswerScores::*const number :
       {&AnswerScores::rouge1, &AnswerScores::rouge2, &AnswerScores::rouge_l}) {
    EXPECT_EQ(verdict_of(number, 0.9991), Verdict::pass_99_9);
    EXPECT_EQ(verdict_of(number, 0.9989), Verdict::pass_99);
    EXPECT_EQ(verdict_of(number, 0.9901), Verdict::pass_99);
    EXPECT_EQ(verdict_of(number, 0.9899), Verdict::fail);
    EXPECT_EQ(verdict_of(number, kNoNumber), Verdict::fail);
  }
  EXPECT_EQ(verdict_of(&AnswerScores::rouge_lsum, 0.1), Verdict::pass_99_9);
  EXPECT_EQ(verdict_of(&AnswerScores::exact, 0.1), Verdict::pass_99_9);
}

TEST(Gate, AsksForAnswersOfTheOriginalsLength) {
  EXPECT_EQ(verdict_of(&AnswerScores::tokens_per_item, 0.901), Verdict::pass_99_9);
  EXPECT_EQ(verdict_of(&AnswerScores::tokens_per_item, 0.899), Verdict::fail);
  EXPECT_EQ(verdict_of(&AnswerScores::tokens_per_item, 1.099), Verdict::pass_99_9);
  EXPECT_EQ(verdict_of(&AnswerScores::tokens_per_item, 1.101), Verdict::fail);
}

TEST(Gate, IsThatOfMlperfOnItsPublishedNumbers) {
  // llama2-70b of MLPerf Inference 4.0: 44.4312 / 22.0352 / 28.6162, 294.45 tokens a sample.
  const AnswerScores original{.num_items = 24576,
                              .rouge1 = 0.444312,
                              .rouge2 = 0.220352,
                              .rouge_l = 0.286162,
                              .tokens_per_item = 294.45};
  const GateReport report = report_of(Task::summarize, original, original);
  EXPECT_NEAR(*report.checks[0].min_99, 0.439869, 1e-6);
  EXPECT_NEAR(*report.checks[0].min_99_9, 0.443868, 1e-6);
  EXPECT_NEAR(*report.checks[1].min_99, 0.218148, 1e-6);
  EXPECT_NEAR(*report.checks[2].min_99_9, 0.285876, 1e-6);
  EXPECT_NEAR(*report.checks[3].min_99, 265.0, 0.1);
  EXPECT_NEAR(*report.checks[3].max_99, 323.9, 0.1);
  // A sparse model of those results: better ROUGE, answers of 235.3 tokens.
  AnswerScores sparse = original;
  sparse.rouge1 = 0.44486;
  sparse.rouge2 = 0.22435;
  sparse.rouge_l = 0.29931;
  sparse.tokens_per_item = 235.3;
  EXPECT_EQ(report_of(Task::summarize, sparse, original).verdict, Verdict::fail);
}

TEST(Gate, AsksForExactAnswersOfAChat) {
  const auto verdict = [](double exact) {
    AnswerScores scores = summaries();
    scores.exact = exact;
    scores.rouge1 = 0.01;
    return report_of(Task::chat, scores, summaries()).verdict;
  };
  EXPECT_EQ(verdict(0.5), Verdict::pass_99_9);
  EXPECT_EQ(verdict(0.4996), Verdict::pass_99_9);
  EXPECT_EQ(verdict(0.496), Verdict::pass_99);
  EXPECT_EQ(verdict(0.49), Verdict::fail);
}

TEST(Gate, FailsWhatComputesNan) {
  AnswerScores scores = summaries();
  scores.num_failed = 1;
  const GateReport report = report_of(Task::summarize, scores, summaries());
  EXPECT_EQ(report.verdict, Verdict::fail);
  EXPECT_NE(report.reason.find("1 of 100 answers failed"), std::string::npos) << report.reason;

  GateReport texts = report_of(Task::summarize, summaries(), summaries());
  texts.text = TextScores{.num_tokens = 5, .nll = kNoNumber, .perplexity = kNoNumber};
  judge(texts);
  EXPECT_EQ(texts.verdict, Verdict::fail);
}

GateReport texts_report(double perplexity, double reference) {
  GateReport report;
  report.text = TextScores{.num_tokens = 10, .nll = 1, .perplexity = perplexity};
  report.reference_text = TextScores{.num_tokens = 10, .nll = 1, .perplexity = reference};
  judge(report);
  return report;
}

TEST(Gate, JudgesByPerplexityWhereThereAreOnlyTexts) {
  EXPECT_EQ(texts_report(9.9, 10).verdict, Verdict::pass_99_9);
  EXPECT_EQ(texts_report(10.01, 10).verdict, Verdict::pass_99_9);
  EXPECT_EQ(texts_report(10.02, 10).verdict, Verdict::pass_99);
  EXPECT_EQ(texts_report(10.1, 10).verdict, Verdict::pass_99);
  EXPECT_EQ(texts_report(10.11, 10).verdict, Verdict::fail);
}

TEST(Gate, SaysNothingWithoutAnOriginal) {
  GateReport report;
  report.task = Task::chat;
  report.answers = summaries();
  report.text = TextScores{.num_tokens = 10, .nll = 1, .perplexity = 2.7};
  judge(report);
  EXPECT_EQ(report.verdict, Verdict::ungated);
  EXPECT_TRUE(report.checks.empty());
}

TEST(Gate, SaysNothingWhereTheOriginalCannotDoTheTask) {
  AnswerScores original = summaries();
  original.exact = 0;
  const GateReport report = report_of(Task::chat, summaries(), original);
  EXPECT_EQ(report.verdict, Verdict::ungated);
  EXPECT_NE(report.reason.find("exact of the original is 0.00 %"), std::string::npos)
      << report.reason;
}

TEST(Gate, NamesTheConditionThatFails) {
  AnswerScores scores = summaries();
  scores.rouge2 = 0.1;
  const GateReport report = report_of(Task::summarize, scores, summaries());
  EXPECT_EQ(report.reason, "rouge2 is 10.00 %, the original's 20.00 %, >= 19.80 % is asked for");
}

TEST(Gate, MeasuresAreJsonWithStableKeys) {
  GateReport report = report_of(Task::summarize, summaries(), summaries());
  report.agreement =
      AgreementScores{.num_positions = 7, .mean_kl = kNoNumber, .max_kl = 1, .top1 = 1};
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(to_json(report).dump());
  EXPECT_EQ(json.at("verdict"), "PASS-99.9");
  EXPECT_EQ(json.at("task"), "summarize");
  EXPECT_EQ(json.at("checks")[0].at("name"), "rouge1");
  EXPECT_DOUBLE_EQ(json.at("answers").at("rouge2").get<double>(), 0.2);
  EXPECT_TRUE(json.at("agreement").at("mean_kl").is_null());
  EXPECT_FALSE(json.contains("text"));
}

TEST(Gate, MarkdownHoldsAllTables) {
  GateReport report = report_of(Task::chat, summaries(), summaries());
  report.text = TextScores{.num_tokens = 3, .nll = 0.5, .perplexity = 1.6487};
  const std::string page = to_markdown(report);
  for (const char* part :
       {"# m: PASS-99.9", "| exact | 50.00 % | 50.00 % | >= 49.95 % |",
        "| ROUGE-1 | 40.00 % | 40.00 % | 1.0000 |", "| perplexity | 1.6487 | - | - |"})
    EXPECT_NE(page.find(part), std::string::npos) << part << "\n" << page;
}

TEST(Gate, TablesHaveACellForEachColumn) {
  GateReport report = report_of(Task::chat, summaries(), summaries());
  report.text = report.reference_text = TextScores{};
  report.agreement = AgreementScores{};
  const std::vector<ReportTable> tables = tables_of(report);
  EXPECT_EQ(tables.size(), 4u);
  for (const ReportTable& table : tables)
    for (const std::vector<std::string>& row : table.rows)
      EXPECT_EQ(row.size(), table.columns.size()) << table.title;
}

TEST(Verdict, NamesAreReadBack) {
  for (const Verdict verdict :
       {Verdict::fail, Verdict::ungated, Verdict::pass_99, Verdict::pass_99_9})
    EXPECT_EQ(try_parse_verdict(to_string(verdict)), verdict);
  EXPECT_FALSE(try_parse_verdict("PASS"));
}

}  // namespace
}  // namespace veloz::eval
