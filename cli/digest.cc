#include "cli/digest.h"

#include <nlohmann/json.hpp>

#include "common/base/bytes.h"

namespace dotagent::cli {

void Digest::Update(absl::string_view data) {
  sha256_.Update(data);
  bytes_ += data.size();
  for (const char c : data) {
    if (c == '\n') ++lines_;
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      in_word_ = false;
    } else if (c > ' ' && c < 0x7f && !in_word_) {
      // As GNU wc: a character that cannot be printed neither begins a word nor ends one.
      in_word_ = true;
      ++words_;
    }
  }
}

std::string Digest::FinishAsJson() {
  nlohmann::ordered_json json;
  json["sha256"] = HexEncode(sha256_.Finish());
  json["lines"] = lines_;
  json["words"] = words_;
  json["bytes"] = bytes_;
  return json.dump();
}

}  // namespace dotagent::cli
