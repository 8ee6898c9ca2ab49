#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "net/http/compression.hpp"
#include "net/http/response_writer.hpp"

using namespace appserver::net::http;

namespace {

appserver_str str(std::string_view text) { return {text.data(), text.size()}; }

using Fields = std::vector<appserver_header>;

appserver_header field(std::string_view name, std::string_view value) {
  return {str(name), str(value)};
}

bool accepts(std::vector<std::string_view> values) {
  Fields fields;
  for (const auto value : values) fields.push_back(field("ACCEPT-encoding", value));
  appserver_http_request request{};
  request.size = sizeof(request);
  request.headers = fields.data();
  request.header_count = static_cast<std::uint32_t>(fields.size());
  request.header_stride = sizeof(appserver_header);
  return accepts_gzip(request);
}

const Compression kRules{true, {"text/*", "application/json", "application/*+json"}, 100, 6};

struct Answer {
  Answer(unsigned status, Fields given) : fields(std::move(given)) {
    response.size = sizeof(response);
    response.status = status;
    response.headers = fields.data();
    response.header_count = static_cast<std::uint32_t>(fields.size());
    response.header_stride = sizeof(appserver_header);
  }
  Fields fields;
  appserver_http_response response{};
};

Coding chosen(Fields more, unsigned status = 200, std::optional<std::uint64_t> length = 1000,
              std::string_view type = "text/plain", bool gzip = true) {
  if (!type.empty()) more.push_back(field("Content-Type", type));
  return choose_coding(kRules, Answer(status, std::move(more)).response, length, gzip);
}

bool is_left_alone(const Coding& coding) { return !coding.gzip && !coding.varies && !coding.weak; }

std::string head(Fields fields, const Coding& coding) {
  std::string out;
  const Answer answer(200, std::move(fields));
  write_response(out, DateCache(std::chrono::system_clock::time_point()), answer.response,
                 {11, true, false}, coding);
  const auto date_end = out.find("\r\n", out.find("Date: ")) + 2;
  return out.substr(date_end, out.find("Content-Length") - date_end);
}

}  // namespace

TEST_CASE("a client takes gzip by its Accept-Encoding alone") {
  for (const auto* good :
       {"gzip", "GZIP", "x-gzip", "deflate, gzip;q=1.0, *;q=0.5", "*", "br;q=1.0, *;q=0.1",
        "gzip ; q=0.001", "identity;q=0.5, gzip", "identity, gzip", "identity;q=0, *"}) {
    INFO(good);
    CHECK(accepts({good}));
  }
  for (const auto* bad :
       {"", "br", "identity", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *", "gzipped",
        "identity, gzip;q=0.5", "gzip;q=2", "gzip;q=", "gzip;q=1.1", "gzip;q=0.x", "gzip;x=1",
        "gzip;q=0.1234", "gzip, x-gzip;q=0", "gzip;q=-1"}) {
    INFO(bad);
    CHECK_FALSE(accepts({bad}));
  }
  CHECK_FALSE(accepts({}));
  CHECK(accepts({"br", "gzip"}));
  CHECK_FALSE(accepts({"*", "gzip;q=0"}));
}

TEST_CASE("an answer is compressed by its type and size, and varies where it might have been") {
  CHECK(chosen({}).gzip);
  CHECK(chosen({}, 404).gzip);
  CHECK(chosen({}, 200, std::nullopt).gzip);
  CHECK(chosen({}, 200, 100).gzip);
  CHECK(is_left_alone(chosen({}, 200, 99)));
  for (const auto* type : {"TEXT/html; charset=utf-8", "application/json", "application/ld+json"}) {
    INFO(type);
    CHECK(chosen({}, 200, 1000, type).gzip);
  }
  for (const auto* type : {"", "image/png", "application/+json", "application/jsonp", "text"}) {
    INFO(type);
    CHECK(is_left_alone(chosen({}, 200, 1000, type)));
  }
  const Coding refused = chosen({}, 200, 1000, "text/plain", false);
  CHECK(refused.varies);
  CHECK_FALSE((refused.gzip || refused.weak));
  CHECK(is_left_alone(
      choose_coding({}, Answer(200, {field("Content-Type", "text/plain")}).response, 1000, true)));
}

TEST_CASE("an answer that must stay as it is is left alone") {
  CHECK(is_left_alone(chosen({field("content-encoding", "br")})));
  CHECK(is_left_alone(chosen({field("Content-Encoding", "identity")})));
  CHECK(is_left_alone(chosen({field("Cache-Control", "private, NO-transform")})));
  CHECK(chosen({field("Cache-Control", "private")}).gzip);
  for (const auto* digest : {"Digest", "Content-MD5", "Repr-Digest", "Content-Digest"})
    CHECK(is_left_alone(chosen({field(digest, "x")})));
  CHECK(is_left_alone(chosen({}, 204)));
  CHECK(is_left_alone(chosen({}, 205)));
  const Coding part = chosen({}, 206);
  CHECK(part.varies);
  CHECK_FALSE((part.gzip || part.weak));
  const Coding unmodified = chosen({}, 304, 0, "");
  CHECK(unmodified.varies);
  CHECK(unmodified.weak);
  CHECK_FALSE(unmodified.gzip);
}

TEST_CASE("the head of a compressed answer says so, with a weak ETag and without ranges") {
  const Coding coded{true, true, true};
  CHECK(head({field("ETag", "\"a\""), field("Accept-Ranges", "bytes")}, coded) ==
        "ETag: W/\"a\"\r\nVary: Accept-Encoding\r\nContent-Encoding: gzip\r\n");
  CHECK(head({field("ETag", "W/\"a\"")}, {false, true, true}) ==
        "ETag: W/\"a\"\r\nVary: Accept-Encoding\r\n");
  CHECK(head({field("ETag", "\"a\""), field("Accept-Ranges", "bytes")}, {false, true, false}) ==
        "ETag: \"a\"\r\nAccept-Ranges: bytes\r\nVary: Accept-Encoding\r\n");
}

TEST_CASE("Vary is joined to the plugin's own, and not told twice") {
  const Coding varies{false, true, false};
  CHECK(head({field("vary", "Cookie")}, varies) == "vary: Cookie, Accept-Encoding\r\n");
  CHECK(head({field("Vary", "*")}, varies) == "Vary: *\r\n");
  CHECK(head({field("Vary", "A"), field("Vary", "b, accept-encoding")}, varies) ==
        "Vary: A\r\nVary: b, accept-encoding\r\n");
  CHECK(head({field("Vary", "A"), field("Vary", "B")}, varies) ==
        "Vary: A, Accept-Encoding\r\nVary: B\r\n");
}

TEST_CASE("identity is no coding that a client is told of, also where nothing is compressed") {
  CHECK(head({field("Content-Encoding", "Identity"), field("X", "y")}, {}) == "X: y\r\n");
  CHECK(head({field("Content-Encoding", "br")}, {}) == "Content-Encoding: br\r\n");
}
