// Bodies of multipart/form-data, well-formed and not.
#include <appserver/multipart.hpp>
#include <catch2/catch.hpp>
#include <string>

using namespace appserver;
using Catch::Matchers::Contains;

namespace {

constexpr const char* kType = "multipart/form-data; boundary=b";

std::string part(const std::string& headers, const std::string& content) {
  return "--b\r\n" + headers + "\r\n\r\n" + content + "\r\n";
}
std::string field(const std::string& name, const std::string& content) {
  return part("Content-Disposition: form-data; name=\"" + name + "\"", content);
}

void refused(const std::string& body, const char* why, const char* type = kType) {
  CAPTURE(body, type);
  REQUIRE_THROWS_AS(Multipart(type, body), BadRequest);
  REQUIRE_THROWS_WITH(Multipart(type, body), Contains(why));
}

}  // namespace

TEST_CASE("fields and files of a form are found, their content in place") {
  const std::string content("\0\r\n--\r\n--a\r\n\xFF", 13);
  const std::string body = field("title", "hello") +
                           part(
                               "content-disposition: FORM-DATA; name=file; filename=\"a b.png\"\r\n"
                               "X-Other: 1\r\nContent-Type: image/png",
                               content) +
                           field("title", "") + "--b--\r\n";
  const Multipart form(kType, body);
  REQUIRE(form.parts().size() == 3);
  REQUIRE(form.field("title") == "hello");
  REQUIRE(form.find("file")->filename == "a b.png");
  REQUIRE(form.find("file")->content_type == "image/png");
  REQUIRE(form.find("file")->content == content);
  REQUIRE(form.find("file")->content.data() == body.data() + body.find(content));
  REQUIRE_FALSE(form.field("file"));
  REQUIRE(form.parts()[2].content.empty());
  REQUIRE(form.parts()[2].content_type == "text/plain");
  REQUIRE(form.find("other") == nullptr);
}

TEST_CASE("a boundary may be quoted and hold what RFC 2046 allows") {
  const std::string body =
      "--a b?=:\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--a b?=:--";
  REQUIRE(Multipart("Multipart/Form-Data ; charset=x; BOUNDARY=\"a b?=:\"", body).field("x") ==
          "1");
}

TEST_CASE("a form without a part is one") {
  REQUIRE(Multipart(kType, "--b--\r\n").parts().empty());
}

TEST_CASE("names keep their bytes, with quotes and backslashes unescaped") {
  const std::string body =
      part("Content-Disposition: form-data; name=\"a\\\"b\\\\c\"; filename=\"C:\\x\\\xC3\xBC;%22\"",
           "") +
      "--b--";
  const Multipart form(kType, body);
  REQUIRE(form.parts()[0].name == "a\"b\\c");
  REQUIRE(form.parts()[0].filename == "C:\\x\\\xC3\xBC;%22");
}

TEST_CASE(
    "another type than multipart/form-data is refused, and so is one without a good boundary") {
  for (const char* type : {"", "text/plain", "multipart/mixed; boundary=b", "multipart/form-dataX"})
    refused("--b--", "expected a body of type", type);
  for (const char* type :
       {"multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"", "multipart/form-data; boundary=\"b\r\n\"",
        "multipart/form-data; boundary=\"b \"", "multipart/form-data; boundary=b; boundary=c",
        "multipart/form-data; boundary=\"b", "multipart/form-data; boundary",
        "multipart/form-data; boundary=b c=d", "multipart/form-data; x boundary=b"})
    refused("--b--", "multipart/form-data: ", type);
  refused("--b--", "boundary", ("multipart/form-data; boundary=" + std::string(71, 'x')).c_str());
}

TEST_CASE("a body that is cut off, or has more than a form, is refused") {
  const std::string whole = field("a", "1") + field("c", "2") + "--b--";
  REQUIRE(Multipart(kType, whole).parts().size() == 2);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    REQUIRE_THROWS_AS(Multipart(kType, std::string_view(whole).substr(0, size)), BadRequest);
  }
  refused("\r\n" + whole, "does not begin");
  refused("preamble\r\n" + whole, "does not begin");
  refused(whole + "x", "more behind the end");
  refused(whole + "\r\n\r\n", "more behind the end");
  refused("--bX\r\n", "neither begin nor end");
  refused("--b\n", "neither begin nor end");
  refused(field("a", "1\r\n--bc\r\n") + "--b--", "neither begin nor end");
}

TEST_CASE("a malformed header of a part is refused") {
  const auto header = [](const std::string& text, const char* why) {
    refused(part(text, "1") + "--b--", why);
  };
  header("X: y", "no Content-Disposition");
  header("Content-Disposition: form-data", "no name");
  header("Content-Disposition: attachment; name=a", "not form-data");
  header("Content-Disposition: form-data; name=a; name=b", "two names");
  header("Content-Disposition: form-data; name=a; filename=b; FileName=c", "two file names");
  header("Content-Disposition: form-data; name=a; filename*=UTF-8''x", "filename*");
  header("Content-Disposition: form-data; name=\"a", "does not end");
  header("Content-Disposition: form-data; name=", "without quotes");
  header("Content-Disposition: form-data; name=a b", "';'");
  header("Content-Disposition: form-data; name=\"a\"b", "';'");
  header("Content-Disposition: form-data; =a", "name=value");
  header("Content-Disposition: form-data; name=a;", "name=value");
  header("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
         "two dispositions");
  header("Content-Disposition: form-data; name=a\r\nContent-Type: a/b\r\nContent-Type: c/d",
         "two types");
  header("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
         "transfer-encoded");
  header("Content-Disposition: form-data; name=a\r\n folded: x", "malformed header");
  header("Content-Disposition : form-data; name=a", "malformed header");
  header("no colon", "malformed header");
  header(std::string("Content-Disposition: form-data; name=\"a\0\"", 41), "malformed header");
  header("Content-Disposition: form-data; name=\"a\nb\"", "malformed header");
}

TEST_CASE("the number of parts and the size of their headers are bounded") {
  const std::string body = field("a", "1") + field("b", "2") + "--b--";
  REQUIRE_NOTHROW(Multipart(kType, body, {.parts = 2}));
  REQUIRE_THROWS_WITH(Multipart(kType, body, {.parts = 1}), Contains("more than 1 parts"));
  const std::size_t line = std::string("Content-Disposition: form-data; name=\"a\"\r\n").size();
  REQUIRE_NOTHROW(Multipart(kType, body, {.header_bytes = line}));
  REQUIRE_THROWS_WITH(Multipart(kType, body, {.header_bytes = line - 1}), Contains("do not end"));
  refused(part("X: " + std::string(9000, 'x'), "") + "--b--", "within 8192 bytes");
}
