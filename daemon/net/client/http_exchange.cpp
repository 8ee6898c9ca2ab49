#include "net/client/http_exchange.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <appserver/detail/text.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http.hpp>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

namespace appserver::net::client {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

// Beast's string_body makes room for as much as a head announces.
struct Body {
  using value_type = std::string;
  class reader {  // NOLINT(readability-identifier-naming): Beast's name
   public:
    template <bool IsRequest, class Fields>
    reader(http::header<IsRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>&, error_code& error) { error = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      std::size_t size = 0;
      for (auto at = boost::asio::buffer_sequence_begin(buffers);
           at != boost::asio::buffer_sequence_end(buffers); ++at) {
        const boost::asio::const_buffer buffer(*at);
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
        size += buffer.size();
      }
      return size;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};
using Parser = http::response_parser<Body>;

// Bounds the head, each line of a chunked body's framing, all its extensions together, and what
// stands behind it.
constexpr std::size_t kMaxHead = std::size_t{64} << 10;
constexpr int kMostInterim = 16;  // answers of 1xx before the final one

[[noreturn]] void bad_response(const std::string& why) {
  throw CallError(Failure::response, "the answer is no HTTP that can be trusted: " + why);
}

// What Beast's parser lets through, though the two sides may then disagree on where the answer
// ends (RFC 9112, section 6.3).
void check_framing(const http::response_header<>& head) {
  const auto codings = head.equal_range(http::field::transfer_encoding);
  const auto coding_count = std::distance(codings.first, codings.second);
  if (coding_count > 0) {
    const auto value = codings.first->value();
    const bool chunked = appserver::detail::equal_ignoring_case(
        appserver::detail::trimmed({value.data(), value.size()}), "chunked");
    if (coding_count > 1 || !chunked) bad_response("Transfer-Encoding is not \"chunked\"");
    if (head.version() < 11) bad_response("Transfer-Encoding in HTTP/1.0");
    if (head.count(http::field::content_length) > 0)
      bad_response("Transfer-Encoding and Content-Length together");
  }
  const auto lengths = head.equal_range(http::field::content_length);
  if (std::distance(lengths.first, lengths.second) > 1) bad_response("two of Content-Length");
  if (lengths.first == lengths.second) return;
  const auto length = lengths.first->value();
  if (length.empty() || !std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; }))
    bad_response("Content-Length is no number");
}

[[noreturn]] void fail(const error_code& error, std::size_t max_body) {
  if (error == http::error::body_limit) {
    throw CallError(Failure::too_large,
                    fmt::format("the answer's body is over {} bytes (max_body)", max_body));
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    bad_response("its head is over 64 KiB");
  if (error == http::error::partial_message) {
    throw CallError(Failure::lost, "the server closed the connection before the answer was whole");
  }
  bad_response(error.message());
}

// Reads answers, one after the other, from a connection.
class Reader final {
 public:
  Reader(Transport& transport, bool is_head, std::size_t max_body, AnswerSink& sink)
      : transport_(transport), sink_(sink), is_head_(is_head), max_body_(max_body) {}

  // Why nothing has come; empty where the first byte has.
  Work<std::string> first_byte();
  Work<Answer> answer();

 private:
  Work<std::optional<Answer>> next_answer();
  Work<> more();

  Transport& transport_;
  AnswerSink& sink_;
  bool is_head_;
  std::size_t max_body_;
  std::string buffer_;  // come, and not yet taken by a parser
  bool ended_ = false;
};

Work<> Reader::more() {
  if (buffer_.size() >= kMaxHead) bad_response("a line of its framing is over 64 KiB");
  const std::size_t had = buffer_.size();
  buffer_.resize(kMaxHead);
  const std::size_t got = co_await transport_.read_some(std::span<char>(buffer_).subspan(had));
  buffer_.resize(had + got);
  ended_ = got == 0;
}

Work<std::string> Reader::first_byte() {
  std::string why;
  try {
    co_await more();
    if (ended_) why = "the server closed the connection without an answer";
  } catch (const CallError& error) {
    why = error.what();
  }
  co_return why;
}

// Nothing: it was an interim one.
Work<std::optional<Answer>> Reader::next_answer() {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(kMaxHead));
  // That of one which may come in pieces is known too late for the parser.
  parser.body_limit(sink_.may_want() ? boost::none : boost::optional<std::uint64_t>(max_body_));
  parser.skip(is_head_);
  std::size_t extensions = 0;
  auto count_extensions = [&extensions](std::uint64_t, std::string_view of_chunk, error_code&) {
    extensions += of_chunk.size();
    if (extensions > kMaxHead) bad_response("its chunk extensions are over 64 KiB");
  };
  parser.on_chunk_header(count_extensions);
  Answer answer;
  bool head_taken = false;
  bool in_pieces = false;
  while (!parser.is_done()) {
    error_code error;
    const std::size_t taken =
        parser.put(boost::asio::const_buffer(buffer_.data(), buffer_.size()), error);
    buffer_.erase(0, taken);
    if (error && error != http::error::need_more) fail(error, max_body_);
    if (parser.is_header_done() && !std::exchange(head_taken, true)) {
      check_framing(parser.get());
      // Before anything behind a chunked body is merged into it.
      answer.response.status = parser.get().result_int();
      for (const auto& field : parser.get().base()) {
        answer.response.fields.push_back(
            {std::string(field.name_string()), std::string(field.value())});
      }
      in_pieces = answer.response.status >= 200 && sink_.begins(answer.response);
      parser.eager(true);
      if (!error) continue;
    }
    if (in_pieces && !parser.get().body().empty()) {
      const std::string piece = std::exchange(parser.get().body(), {});
      co_await sink_.take(piece);
    }
    if (parser.get().body().size() > max_body_) fail(http::error::body_limit, max_body_);
    if (parser.is_done()) break;
    if (!ended_) co_await more();
    if (!ended_) continue;
    parser.put_eof(error);
    if (error) fail(error, max_body_);
  }
  if (answer.response.status == 101) bad_response("101, though no upgrade was asked for");
  if (answer.response.status < 200) co_return std::nullopt;
  answer.keep_alive = !ended_ && buffer_.empty() && parser.keep_alive();
  answer.response.body = std::move(parser.get().body());
  co_return answer;
}

Work<Answer> Reader::answer() {
  for (int interim = 0; interim <= kMostInterim; ++interim) {
    std::optional<Answer> answer = co_await next_answer();
    if (answer) co_return std::move(*answer);
  }
  bad_response("too many interim answers");
}

Work<Answer> read_answer(Transport& transport, bool is_head, std::size_t max_body,
                         AnswerSink& sink) {
  Reader reader(transport, is_head, max_body, sink);
  std::string why = co_await reader.first_byte();
  if (why.empty()) co_return co_await reader.answer();
  Answer none;
  none.unanswered = true;
  none.why = std::move(why);
  co_return none;
}

// The request on its way, beside what reads the answer.
class Sending final : public std::enable_shared_from_this<Sending> {
 public:
  explicit Sending(const Executor& executor) : over_(executor) {
    over_.expires_at(Clock::time_point::max());
  }

  // All must stay until it is over.
  void begin(Transport& transport, std::string_view head, std::string_view body) {
    boost::asio::co_spawn(over_.get_executor(), send(shared_from_this(), transport, head, body),
                          [self = shared_from_this()](const std::exception_ptr& error) {
                            self->is_over_ = true;
                            self->over_.cancel();
                            self->note(error);
                          });
  }
  // Nothing of the request is touched any more.
  bool sent_all() const { return sent_all_; }
  // Why not all of it was sent.
  const std::string& why() const { return why_; }
  Work<> end() {
    while (!is_over_)
      co_await over_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable_t<Executor>{}));
  }

 private:
  static Work<> send(std::shared_ptr<Sending> self, Transport& transport, std::string_view head,
                     std::string_view body) {
    co_await transport.write(head);
    co_await transport.write(body, Transport::Turns::reader_first);
    // Not by the handler: an answer may be read before that has its turn.
    self->sent_all_ = true;
  }
  void note(const std::exception_ptr& error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const CallError& failed) {
      why_ = failed.what();
    }
  }

  boost::asio::basic_waitable_timer<Clock, boost::asio::wait_traits<Clock>, Executor> over_;
  bool sent_all_ = false;
  bool is_over_ = false;
  std::string why_;
};

}  // namespace

Work<Answer> exchange(Transport& transport, std::string_view head, std::string_view body,
                      bool is_head, std::size_t max_body, AnswerSink& sink) {
  const auto sending = std::make_shared<Sending>(co_await boost::asio::this_coro::executor);
  sending->begin(transport, head, body);
  std::optional<Answer> answer;
  std::exception_ptr failed;
  try {
    answer = co_await read_answer(transport, is_head, max_body, sink);
  } catch (...) {
    failed = std::current_exception();
  }
  // An answer that comes before the whole request is the answer: a server that refuses it need not
  // read the rest (RFC 9112, section 9.5).
  // Not that it was closed here.
  const std::string unsent_why = sending->why();
  if (!sending->sent_all()) {
    transport.abandon();
    co_await sending->end();
  }
  if (failed) std::rethrow_exception(failed);
  if (!sending->sent_all()) answer->keep_alive = false;
  if (answer->unanswered && !unsent_why.empty()) answer->why = unsent_why;
  co_return std::move(*answer);
}

}  // namespace appserver::net::client
