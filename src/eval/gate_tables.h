// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "eval/gate_report.h"

namespace veloz::eval {

struct ReportTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // one cell per column
};

/// What a report says, for people: the conditions of the gate, then what was measured.
std::vector<ReportTable> tables_of(const GateReport& report);

}  // namespace veloz::eval
