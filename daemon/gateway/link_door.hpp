// Where business workers of other daemons come in to a gateway worker.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "gateway/link_keys.hpp"
#include "gateway/link_opening.hpp"
#include "os/fd.hpp"

namespace appserver::gateway {

// On the loop's thread.
class LinkDoor final {
 public:
  // Who have not proved who they are yet; beyond it the one that has taken longest is turned away.
  static constexpr std::size_t kMostOpenings = 64;

  struct Hooks {
    std::function<void(LinkSocket)> opened;
    std::function<void(const std::string& what)> complain;
  };

  // `keys` may be null until renew().
  LinkDoor(boost::asio::io_context& context, LinkKeysPtr keys, Hooks hooks)
      : context_(context), keys_(std::move(keys)), hooks_(std::move(hooks)) {}
  LinkDoor(const LinkDoor&) = delete;
  LinkDoor& operator=(const LinkDoor&) = delete;
  ~LinkDoor() { close(); }

  void renew(LinkKeysPtr keys) { keys_ = std::move(keys); }
  // A connection that has come in, at an address under TLS or not.
  void accept(os::Fd connection, bool under_tls);
  // Nobody comes in any more.
  void close();
  std::size_t openings() const { return openings_.size(); }

 private:
  void open(os::Fd connection, bool under_tls, const std::string& name);

  boost::asio::io_context& context_;
  LinkKeysPtr keys_;
  Hooks hooks_;
  std::list<std::shared_ptr<LinkOpening>> openings_;  // in the order in which they came
  bool closed_ = false;
};

}  // namespace appserver::gateway
