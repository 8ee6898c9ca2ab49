// "fd/1": a plugin's descriptors on the loop.
#pragma once

#include <appserver/abi.h>
#include <appserver/abi/fd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "os/fd.hpp"

namespace appserver::worker {

class PluginHost;

// They wait in an epoll set of their own, which the loop waits for: a descriptor that the plugin
// closed too early, and whose number is another's by now, can touch nothing of the worker's. On the
// loop's thread only.
class FdHost final {
 public:
  static constexpr std::size_t kMaxWatches = 65'536;

  FdHost(boost::asio::io_context& context, PluginHost& host) : context_(context), host_(host) {}
  FdHost(const FdHost&) = delete;
  FdHost& operator=(const FdHost&) = delete;

  using Call = void (*)(void* argument, std::uint32_t events) noexcept;

  // As abi/fd.h has them.
  std::int32_t watch(int fd, std::uint32_t events, Call call, void* argument,
                     appserver_fd_watch& watch);
  std::int32_t change(appserver_fd_watch watch, std::uint32_t events);
  std::int32_t unwatch(appserver_fd_watch watch);
  // There is no call any more.
  void stop();

 private:
  using Descriptor =
      boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

  struct Watch {
    int fd;
    std::uint32_t events;
    Call call;
    void* argument;
  };

  void open();
  void wait();
  void ready();
  void renew();
  bool is_current(appserver_fd_watch id, const Watch& watch) const;
  std::int32_t enter(appserver_fd_watch id, const Watch& watch);
  void leave(appserver_fd_watch id, const Watch& watch);

  boost::asio::io_context& context_;
  PluginHost& host_;
  std::unique_ptr<Descriptor> set_;
  std::unordered_map<appserver_fd_watch, Watch> watches_;
  // Whose a number is: the last watch that was made for it.
  std::unordered_map<int, appserver_fd_watch> by_fd_;
  appserver_fd_watch last_ = 0;
  bool stopped_ = false;
};

const appserver_fd_host& fd_host_table();

}  // namespace appserver::worker
