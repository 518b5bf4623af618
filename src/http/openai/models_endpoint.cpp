// SPDX-License-Identifier: Apache-2.0
#include "http/openai/endpoints.h"

namespace veloz::http::openai {
namespace {

void write_model(JsonWriter& writer, const Context& context, const std::string& name) {
  const engine::Manifest& manifest = context.model.engine().manifest();
  writer.begin_object().field("id", name).field("object", "model");
  writer.field("created", context.created).field("owned_by", "veloz");
  writer.field("root", manifest.model.name).key("parent").null();
  writer.field("max_model_len", context.max_model_len);
  writer.field("architecture", manifest.model.architecture);
  writer.field("num_parameters", manifest.model.num_parameters);
  writer.field("dtype", std::string(to_string(manifest.model.dtype)));
  const auto write_optional = [&](std::string_view key, const std::string* value) {
    if (value == nullptr)
      writer.key(key).null();
    else
      writer.field(key, *value);
  };
  write_optional("quantization", manifest.quantization ? &manifest.quantization->name : nullptr);
  write_optional("verdict", manifest.verdict ? &*manifest.verdict : nullptr);
  writer.end_object();
}

}  // namespace

net::Response list_models(const Context& context) {
  net::Response response;
  JsonWriter writer(response.body);
  writer.begin_object().field("object", "list").key("data").begin_array();
  for (const std::string& name : context.names) write_model(writer, context, name);
  writer.end_array().end_object();
  return response;
}

net::Response show_model(const Context& context, const std::string& name) {
  net::Response response;
  JsonWriter writer(response.body);
  write_model(writer, context, context.require_model(name));
  return response;
}

}  // namespace veloz::http::openai
