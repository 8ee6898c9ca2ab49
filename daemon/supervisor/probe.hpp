// Asks a worker over a private connection whether it answers, before it gets traffic.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "os/fd.hpp"

namespace appserver::supervisor {

// GETs `path` over `socket` and calls `done` once: passed with a 2xx or 3xx answer, otherwise with
// the reason. Never later than `timeout`.
void probe_http(boost::asio::io_context& context, os::Fd socket, const std::string& path,
                std::chrono::milliseconds timeout,
                std::function<void(bool passed, const std::string& why)> done);

}  // namespace appserver::supervisor
