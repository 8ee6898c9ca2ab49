#include "net/http/head_parser.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>

#include "net/http/grammar.hpp"

namespace appserver::net::http {

namespace {

namespace beast = boost::beast;

constexpr std::size_t kMaxMethod = 32;

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

class Parser final : public beast::http::basic_parser<true> {
 public:
  Parser(const RequestLimits& limits, Head& head, std::vector<appserver_header>& headers)
      : limits_(limits), head_(head), headers_(headers) {
    header_limit(std::numeric_limits<std::uint32_t>::max());
    // Only the head is Beast's to read; the body is framed by what is checked here.
    skip(true);
  }

  std::optional<Refusal> parse(std::string_view bytes) {
    beast::error_code error;
    const auto used = put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (refusal_) return refusal_;
    if (error) return explain(error, bytes);
    if (!is_done() || used != bytes.size()) return Refusal{400, "the request head is malformed"};
    return finish();
  }

 private:
  using error_code = beast::error_code;

  void refuse(unsigned status, std::string_view reason, error_code& error) {
    refusal_ = Refusal{status, reason};
    error = beast::http::error::bad_value;
  }

  static Refusal explain(const error_code& cause, std::string_view bytes) {
    using beast::http::error;
    if (cause == error::bad_version) return explain_version(bytes.substr(0, bytes.find("\r\n")));
    if (cause == error::bad_method) return {400, "the method is not a token"};
    if (cause == error::bad_target) return {400, "the request target is malformed"};
    if (cause == error::bad_field) return {400, "a header field name is malformed"};
    if (cause == error::bad_value) return {400, "a header field value is malformed"};
    if (cause == error::bad_line_ending) return {400, "the request head has a CR without LF"};
    if (cause == error::bad_content_length) return {400, "Content-Length is not a number"};
    if (cause == error::multiple_content_length) return {400, "Content-Length is given twice"};
    if (cause == error::bad_transfer_encoding) {
      return {400, "Transfer-Encoding is given twice or beside Content-Length"};
    }
    return {400, "the request head is malformed"};
  }

  static Refusal explain_version(std::string_view line) {
    const auto word = line.substr(line.rfind(' ') + 1);
    const bool http = word.size() == 8 && word.starts_with("HTTP/") &&
                      parse_digits(word.substr(5, 1)) && word[6] == '.' &&
                      parse_digits(word.substr(7)) &&
                      std::count(line.begin(), line.end(), ' ') == 2;
    if (http) return {505, "only HTTP/1.0 and HTTP/1.1 are spoken here"};
    return {400, "the request line does not end in an HTTP version"};
  }

  void on_request_impl(beast::http::verb verb, beast::string_view method, beast::string_view target,
                       int version, error_code& error) override {
    head_.version = static_cast<unsigned>(version);
    head_.method = view(method);
    head_.target = view(target);
    if (method.size() > kMaxMethod) return refuse(501, "the method is too long", error);
    if (verb == beast::http::verb::connect)
      return refuse(501, "CONNECT is not for this server", error);
    if (target.size() > limits_.max_target)
      return refuse(414, "the request target is too long", error);
    const auto split = split_target(head_.method, head_.target);
    if (!split) return refuse(400, "the request target is malformed", error);
    head_.path = split->path;
    head_.query = split->query;
    authority_ = split->authority;
  }

  void on_field_impl(beast::http::field id, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    using beast::http::field;
    headers_.push_back({{name.data(), name.size()}, {value.data(), value.size()}});
    switch (id) {
      case field::host:
        return on_host(view(value), error);
      case field::content_length:
        return on_content_length(view(value), error);
      case field::transfer_encoding:
        return on_transfer_encoding(view(value), error);
      case field::connection:
        return on_connection(view(value));
      case field::expect:
        return on_expect(view(value), error);
      default:
        return;
    }
  }

  void on_host(std::string_view value, error_code& error) {
    if (has_host_) return refuse(400, "Host is given twice", error);
    has_host_ = true;
    if (!is_authority(value)) return refuse(400, "Host is malformed", error);
    // RFC 9112 3.2.2: what an absolute target says counts.
    if (!authority_.empty()) headers_.back().value = {authority_.data(), authority_.size()};
  }

  void on_content_length(std::string_view value, error_code& error) {
    if (has_length_) return refuse(400, "Content-Length is given twice", error);
    has_length_ = true;
    const auto length = parse_digits(value);
    if (!length) return refuse(400, "Content-Length is not a number", error);
    head_.content_length = *length;
  }

  // RFC 9112 6.3: without `chunked` at the end the length of the body cannot be known (400).
  // Codings before it are legal but not understood here (501).
  void on_transfer_encoding(std::string_view value, error_code& error) {
    if (head_.version < 11) return refuse(400, "HTTP/1.0 has no Transfer-Encoding", error);
    if (has_coding_) return refuse(400, "Transfer-Encoding is given twice", error);
    has_coding_ = true;
    if (equals_ignoring_case(value, "chunked")) return;

    unsigned chunked = 0;
    std::string_view last;
    for (auto list = value; const auto coding = next_list_element(list);) {
      if (!is_token(*coding)) return refuse(400, "Transfer-Encoding is malformed", error);
      last = *coding;
      if (equals_ignoring_case(last, "chunked")) ++chunked;
    }
    if (chunked != 1 || !equals_ignoring_case(last, "chunked")) {
      return refuse(400, "Transfer-Encoding does not end in chunked", error);
    }
    refuse(501, "of all transfer codings only chunked is known here", error);
  }

  void on_connection(std::string_view value) {
    for (auto list = value; const auto option = next_list_element(list);) {
      if (equals_ignoring_case(*option, "close")) close_ = true;
      if (equals_ignoring_case(*option, "keep-alive")) keep_alive_ = true;
    }
  }

  void on_expect(std::string_view value, error_code& error) {
    if (!equals_ignoring_case(value, "100-continue")) {
      return refuse(417, "of all expectations only 100-continue is known here", error);
    }
    // RFC 9110 10.1.1: an HTTP/1.0 client would not understand the interim answer.
    head_.expects_continue = head_.version >= 11;
  }

  std::optional<Refusal> finish() {
    if (head_.version >= 11 && !has_host_) return Refusal{400, "Host is missing"};
    if (has_length_ && has_coding_) {
      return Refusal{400, "Transfer-Encoding is given beside Content-Length"};
    }
    if (head_.content_length > limits_.max_body)
      return Refusal{413, "the request body is too large"};
    if (has_coding_) head_.framing = Framing::chunked;
    if (has_length_) head_.framing = Framing::content_length;
    head_.keep_alive = !close_ && (head_.version >= 11 || keep_alive_);
    return std::nullopt;
  }

  void on_header_impl(error_code&) override {}
  void on_finish_impl(error_code&) override {}
  void on_response_impl(int, beast::string_view, int, error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(beast::string_view, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view, error_code&) override {
    return 0;
  }

  const RequestLimits& limits_;
  Head& head_;
  std::vector<appserver_header>& headers_;
  std::optional<Refusal> refusal_;
  std::string_view authority_;
  bool has_host_ = false;
  bool has_length_ = false;
  bool has_coding_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
};

}  // namespace

std::optional<Refusal> parse_head(std::string_view bytes, const RequestLimits& limits, Head& head,
                                  std::vector<appserver_header>& headers) {
  head = {};
  headers.clear();
  return Parser(limits, head, headers).parse(bytes);
}

}  // namespace appserver::net::http
