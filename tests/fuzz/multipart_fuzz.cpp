// Whatever a form's body holds, it is refused, or read into parts that lie within it, in order and
// apart.
#include <appserver/multipart.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

// The first line is the Content-Type, the rest the body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t line = bytes.find('\n');
  if (line == std::string_view::npos) return 0;
  const std::string_view body = bytes.substr(line + 1);
  try {
    const appserver::Multipart form(bytes.substr(0, line), body,
                                    {.parts = 20, .header_bytes = 1000});
    if (form.parts().size() > 20) std::abort();
    const char* at = body.data();
    for (const appserver::Part& part : form) {
      if (part.content.data() < at) std::abort();
      at = part.content.data() + part.content.size();
      if (at > body.data() + body.size()) std::abort();
    }
  } catch (const appserver::BadRequest&) {
  }
  return 0;
}
