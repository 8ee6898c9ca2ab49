// The PROXY header: whatever comes, and wherever it is split, what is said of a whole is never
// taken back, and nothing but a header's beginning is waited on.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/proxy_protocol.hpp"

using namespace appserver::net;
using proxy_protocol::Header;
using proxy_protocol::read_header;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view data(reinterpret_cast<const char*>(bytes), size);
  const Header whole = read_header(data);
  const bool is_whole = whole.kind == Header::Kind::whole;
  if (whole.kind == Header::Kind::incomplete && size >= proxy_protocol::kLongest) std::abort();
  if (is_whole && (whole.size == 0 || whole.size > size)) std::abort();
  if (is_whole && whole.size > proxy_protocol::kLongest) std::abort();
  if ((whole.kind == Header::Kind::malformed) == whole.why.empty()) std::abort();
  if (whole.ends &&
      (whole.ends->remote.empty() || whole.ends->local.empty() ||
       whole.ends->remote.size() > Ends::kLongest || whole.ends->local.size() > Ends::kLongest)) {
    std::abort();
  }
  bool settled = false;
  const std::size_t most = size < proxy_protocol::kLongest ? size : proxy_protocol::kLongest;
  for (std::size_t split = 0; split <= most; ++split) {
    const Header part = read_header(data.substr(0, split));
    if (part.kind == Header::Kind::incomplete) {
      if (settled || (is_whole && split >= whole.size)) std::abort();
      continue;
    }
    settled = true;
    if (part.kind != whole.kind || part.size != whole.size || part.why != whole.why) std::abort();
    if (part.ends != whole.ends || (is_whole && split < whole.size)) std::abort();
  }
  return 0;
}
