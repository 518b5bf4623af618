// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "api/loaded_model.h"
#include "veloz/llm.h"

namespace veloz {

struct LLM::State {
  std::shared_ptr<api::LoadedModel> model;  // shared with Executors and their streams
};

}  // namespace veloz
