// Nanoseconds per request read and per answer written, on one core: http_bench [milliseconds per
// line, 500]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "net/http/request_reader.hpp"
#include "net/http/response_writer.hpp"

using namespace appserver::net::http;

namespace {

using Clock = std::chrono::steady_clock;

const std::string kSmall =
    "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept: */*\r\nX-Pad: 1234567\r\n\r\n";

const std::string kBrowser =
    "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\nHost: "
    "www.example.org\r\n"
    "User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) "
    "Gecko/20100401 Firefox/3.6.3\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\nAccept-Encoding: gzip, deflate, br\r\n"
    "Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\nKeep-Alive: 115\r\nConnection: keep-alive\r\n"
    "Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; "
    "__utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx."
    "xxxxxxxxxx.x; "
    "__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.example|utmcct=/reader/"
    "\r\n\r\n";

// Runs `step` for about `length` and prints what one call took.
template <typename Step>
void measure(const char* name, std::chrono::milliseconds length, Step step) {
  constexpr int kBatch = 1000;
  long calls = 0;
  const auto start = Clock::now();
  while (Clock::now() - start < length) {
    for (int i = 0; i < kBatch; ++i) step();
    calls += kBatch;
  }
  const std::chrono::duration<double, std::nano> spent = Clock::now() - start;
  std::printf("%-32s %8.1f ns\n", name, spent.count() / static_cast<double>(calls));
}

void read_one(RequestReader& reader, const std::string& input) {
  std::size_t consumed = 0;
  if (reader.read(input, consumed) != Progress::complete) std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  const std::chrono::milliseconds length(argc > 1 ? std::atoi(argv[1]) : 500);
  RequestReader reader({});
  measure(("read " + std::to_string(kSmall.size()) + " B, 3 fields").c_str(), length,
          [&] { read_one(reader, kSmall); });
  measure(("read " + std::to_string(kBrowser.size()) + " B, 9 fields").c_str(), length,
          [&] { read_one(reader, kBrowser); });

  const DateCache date(std::chrono::system_clock::now());
  const appserver_header header{{"Content-Type", 12}, {"text/plain", 10}};
  const appserver_http_response response{sizeof(response),     200, &header, 1, sizeof(header),
                                         {"Hello, world!", 13}};
  std::string out;
  measure("validate and write an answer", length, [&] {
    if (validate(response) != APPSERVER_OK) std::abort();
    out.clear();
    write_response(out, date, response, {11, true, false});
  });
}
