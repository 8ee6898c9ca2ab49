// How an HttpConnection compresses its answers.
#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "net/http/body_coder.hpp"
#include "net/http_connection.hpp"

namespace appserver::net {
namespace {

constexpr http::Coding kOnlyVaries{.varies = true};

}  // namespace

http::Coding HttpConnection::coding_for(const appserver_http_response& response,
                                        std::optional<std::uint64_t> length, bool streamed) const {
  const http::Coding coding =
      http::choose_coding(server_.limits_.compression, response, length, answer_to_.gzip);
  // Without chunks the length must be known, or the connection ends: a length is kept where there
  // is one.
  const bool in_pieces = streamed || length.value_or(0) > HttpServer::kMostWhole;
  if (coding.gzip && answer_to_.version < 11 && length && in_pieces) return kOnlyVaries;
  return coding;
}

bool HttpConnection::begin_coding(std::unique_ptr<Deflater> begun) {
  try {
    auto coder = begun ? std::make_unique<http::BodyCoder>(std::move(begun))
                       : std::make_unique<http::BodyCoder>(server_.limits_.compression.level);
    if (server_.coders_ + coder->weight() <= HttpServer::kMostCoders) coder_ = std::move(coder);
  } catch (const std::bad_alloc&) {
    // As if there were too many.
  }
  if (!coder_) {
    server_.page_.uncompressed.add();
    return false;
  }
  server_.coders_ += coder_->weight();
  return true;
}

void HttpConnection::end_coding() {
  if (!coder_) return;
  server_.coders_ -= coder_->weight();
  coder_.reset();
}

void HttpConnection::write_whole(const appserver_http_response& response) {
  const http::AnswerTo& request = current_answer_to();
  const http::Coding coding = coding_for(response, response.body.size, false);
  if (!coding.gzip || request.head_method) {
    http::write_response(out(), server_.date_, response, request, coding);
  } else {
    write_compressed(response, coding);
  }
}

void HttpConnection::write_compressed(const appserver_http_response& response,
                                      const http::Coding& coding) {
  std::string_view rest(response.body.data, response.body.size);
  std::string& compressed = server_.compressed_;
  compressed.clear();
  if (!compress_whole(rest)) {
    if (go_on_in_pieces(response, coding, rest)) return;
  } else if (compressed.size() < response.body.size) {
    appserver_http_response coded = response;
    coded.body = {compressed.data(), compressed.size()};
    http::write_response(out(), server_.date_, coded, answer_to_, coding);
    return;
  }
  http::write_response(out(), server_.date_, response, answer_to_, kOnlyVaries);
}

bool HttpConnection::compress_whole(std::string_view& rest) {
  TurnBudget& budget = server_.table_.budget();
  if (rest.size() > HttpServer::kMostWhole || !budget.allows_more()) return false;
  Deflater* const gzip = server_.gzip();
  if (gzip == nullptr) return false;
  gzip->reset();
  while (!rest.empty() && budget.allows_more()) {
    const std::string_view piece = rest.substr(0, server_.piece());
    rest.remove_prefix(piece.size());
    gzip->append(server_.compressed_, piece,
                 rest.empty() ? Deflater::Flush::end : Deflater::Flush::none);
    budget.worked();
  }
  return rest.empty();
}

bool HttpConnection::go_on_in_pieces(const appserver_http_response& response,
                                     const http::Coding& coding, std::string_view rest) {
  if (answer_to_.version < 11) return false;
  const bool begun = rest.size() < response.body.size;
  if (!begin_coding(begun ? std::move(server_.gzip_) : nullptr)) return false;
  body_mode_ = http::write_stream_head(out(), server_.date_, response, -1, answer_to_, coding);
  append_coded(server_.compressed_);
  coder_->add(rest);
  coder_->end();
  compress_waiting();
  return true;
}

void HttpConnection::append_coded(std::string_view coded) {
  if (body_mode_ == http::BodyMode::chunked) {
    http::append_chunk(out(), coded);
  } else {
    out().append(coded);
  }
}

void HttpConnection::compress_waiting() {
  const std::size_t corked = in_turn_ ? server_.cork_.size() : 0;
  if (!coder_ || pending_output() + corked >= HttpServer::kMostStreamed) return;
  if (!coder_->has_work() || !server_.table_.budget().allows_more()) return;
  std::string& compressed = server_.compressed_;
  compressed.clear();
  coder_->run(compressed, server_.piece());
  server_.table_.budget().worked();
  append_coded(compressed);
  if (!coder_->is_done()) return;
  if (body_mode_ == http::BodyMode::chunked) http::append_last_chunk(out());
  end_coding();
}

std::size_t HttpServer::piece() const {
  return limits_.compression.level < 7 ? kPiece : kPieceAtHighLevels;
}

Deflater* HttpServer::gzip() {
  try {
    if (!gzip_) {
      gzip_ = std::make_unique<Deflater>(Deflater::Format::gzip, limits_.compression.level,
                                         Deflater::Size{});
    }
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return gzip_.get();
}

}  // namespace appserver::net
