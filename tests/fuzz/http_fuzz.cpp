// Whatever a client sends, and however it is cut into pieces, the same requests and refusals come
// out, within the bounds.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "http_stream.hpp"

using namespace appserver::net::http;

namespace {

RequestLimits limits_for(std::uint8_t choice) {
  RequestLimits limits;
  if (choice & 0x80) {
    limits.max_head = 200;
    limits.max_target = 40;
    limits.max_fields = 5;
    limits.max_body = 100;
  } else {
    limits.max_body = 4096;
  }
  return limits;
}

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// The first byte chooses limits, the second where the rest is cut: into two pieces, or (0) into
// single bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto limits = limits_for(data[0]);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::vector<std::size_t> cuts;
  if (data[1] == 0) {
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) cuts.push_back(cut);
  } else {
    cuts.push_back(bytes.size() * data[1] / 256);
  }

  const auto whole = read_whole(bytes, limits);
  const auto pieces = read_in_pieces(bytes, cuts, limits);
  require(whole.requests == pieces.requests && whole.end == pieces.end &&
          whole.status == pieces.status && whole.reason == pieces.reason &&
          whole.closed == pieces.closed);
  require((whole.end == Progress::refused) == (whole.status >= 400 && whole.status <= 505));
  return 0;
}
