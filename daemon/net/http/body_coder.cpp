#include "net/http/body_coder.hpp"

#include <algorithm>

namespace appserver::net::http {
namespace {

// A quarter of the memory that whole answers are compressed with, because there may be many.
constexpr Deflater::Size kSmall{13, 6};

}  // namespace

BodyCoder::BodyCoder(int level)
    : gzip_(std::make_unique<Deflater>(Deflater::Format::gzip, level, kSmall)) {}

std::size_t BodyCoder::run(std::string& out, std::size_t budget) {
  const std::size_t count = std::min(budget, waiting());
  const bool last = count == waiting();
  if (done_ || (count == 0 && !(last && ended_))) return 0;
  auto flush = Deflater::Flush::none;
  if (last) flush = ended_ ? Deflater::Flush::end : Deflater::Flush::sync;
  gzip_->append(out, std::string_view(waiting_).substr(taken_, count), flush);
  taken_ += count;
  if (last) {
    std::string().swap(waiting_);
    taken_ = 0;
    done_ = ended_;
  }
  return count;
}

}  // namespace appserver::net::http
