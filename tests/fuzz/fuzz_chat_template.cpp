// SPDX-License-Identifier: Apache-2.0
// Hostile chat templates: whatever the source, parsing and rendering give text or throw Error.
// tests/golden/chat_templates/templates holds good seeds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using veloz::text::ChatTemplate;
  veloz::text::ChatTemplateLimits limits;
  limits.max_template_bytes = 4096;
  limits.max_steps = 50000;
  limits.max_memory_bytes = 16 << 20;
  veloz::text::ChatInput input;
  input.messages = {veloz::text::chat_message("system", "s\n"),
                    veloz::text::chat_message("user", "é {{ x }}")};
  input.tools = veloz::text::parse_json_value(R"([{"name": "f", "items": {"a": [1, 2.5, null]}}])");
  try {
    ChatTemplate::parse(std::string(reinterpret_cast<const char*>(data), size), limits)
        .render(input);
  } catch (const veloz::Error& e) {
    if (e.kind() == veloz::ErrorKind::internal) std::abort();
  }
  return 0;
}
