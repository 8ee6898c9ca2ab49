#include "worker/heap_trim.hpp"

#include <malloc.h>

#include <algorithm>

namespace appserver::worker {

// Without a look at the clock where that is all.
void HeapTrim::look(std::size_t connections) {
  height_ = std::max(height_, connections);
  if (has_rest_ || height_ - connections >= kStep) look(connections, Clock::now());
}

void HeapTrim::look(std::size_t connections, Clock::time_point now) {
  height_ = std::max(height_, connections);
  const bool waited = now >= not_before_;
  // Some may come while many go.
  const bool falls_on = height_ < left_ + kStep / 2;
  const bool has_fallen = height_ - connections >= kStep && (falls_on || waited);
  if (!has_fallen && !(has_rest_ && waited)) return;
  has_rest_ = has_fallen;
  height_ = left_ = connections;
  not_before_ = now + kApart;
  give_back_();
}

void HeapTrim::give_back_free_memory() { ::malloc_trim(0); }

}  // namespace appserver::worker
