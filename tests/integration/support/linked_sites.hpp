// A daemon with a gateway group "gate", and another one with a business group "chat" of the relay
// plugin, which is linked to it.
#pragma once

#include <arpa/inet.h>
#include <linux/limits.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "certificate_maker.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "support/site.hpp"

namespace appserver::integration {

enum class LinkOver { tcp, tcp_v6, unix_socket, mutual_tls };

struct LinkWish {
  LinkOver over = LinkOver::tcp;
  int gateways = 2;
  int workers = 2;
  std::string timeout = "30s";
};

// The first of so many ports in a row that nobody listens at. They lie below those that the kernel
// gives to clients, of which a suite leaves thousands in TIME_WAIT; and each process looks from
// another place on.
inline std::uint16_t free_ports(int count) {
  constexpr int kFirst = 20'000;
  constexpr int kWindow = 8;
  constexpr int kWindows = 1'500;
  for (int attempt = 0; attempt < kWindows; ++attempt) {
    const int first = kFirst + (::getpid() + attempt) % kWindows * kWindow;
    std::vector<os::Fd> held;
    for (int i = 0; i < count; ++i) {
      os::Fd socket(os::check(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket()"));
      const int off = 0;
      const int on = 1;
      os::check(::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)),
                "setsockopt()");
      os::check(::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)),
                "setsockopt()");
      sockaddr_in6 address{};
      address.sin6_family = AF_INET6;
      address.sin6_port = htons(static_cast<std::uint16_t>(first + i));
      if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) break;
      held.push_back(std::move(socket));
    }
    if (held.size() == static_cast<std::size_t>(count)) return static_cast<std::uint16_t>(first);
  }
  throw std::runtime_error("no free ports in a row");
}

class LinkedSites {
 public:
  explicit LinkedSites(const LinkWish& wish = {})
      : gate("groups: {}"), chat("groups: {}"), wish_(wish) {
    put("link.secret", std::string(64, 'a') + "\n");
    const std::uint16_t port = free_ports(wish.gateways);
    address_ = address_of(wish.over, port);
    if (wish.over == LinkOver::mutual_tls) issue();
    const auto secret = "secret_file: " + (gate.root() / "link.secret").native();
    gate.configure(
        "groups:\n  gate:\n    kind: gateway\n    listen: ws://127.0.0.1:0\n    count: " +
        std::to_string(wish.gateways) + "\n    link: {listen: '" + address_ + "', " + secret +
        ", timeout: " + wish.timeout + tls("certificate", "client_ca") +
        // It waits for somebody who hears what clients said last.
        "}\n    reload: {drain_timeout: 3s}\n");
    configure_chat(secret);
    install_relay("v1");
  }

  void configure_chat(const std::string& secret) {
    chat.configure("groups:\n  chat:\n    kind: business\n    plugin: relay\n    count: " +
                   std::to_string(wish_.workers) + "\n    gateway: {connect: '" + address_ + "', " +
                   secret + ", timeout: " + wish_.timeout + tls("certificate", "ca") + "}\n");
  }
  void install_relay(const std::string& version) {
    chat.install(std::filesystem::path(APPSERVER_TEST_PLUGINS) / version / "relay.so", "relay");
  }
  // For nobody else to read.
  std::filesystem::path put(const std::string& name, const std::string& content) const {
    const auto file = gate.root() / name;
    std::ofstream(file, std::ios::binary) << content;
    std::filesystem::permissions(
        file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return file;
  }

  Site gate;
  Site chat;

 private:
  std::string address_of(LinkOver over, std::uint16_t port) const {
    switch (over) {
      case LinkOver::tcp:
        return "tcp://127.0.0.1:" + std::to_string(port);
      case LinkOver::tcp_v6:
        return "tcp://[::1]:" + std::to_string(port);
      case LinkOver::mutual_tls:
        return "tls://127.0.0.1:" + std::to_string(port);
      case LinkOver::unix_socket:
        break;
    }
    return "unix:" + (gate.root() / "link.sock").native();
  }
  void issue() const {
    const appserver::test::Authority authority;
    appserver::test::Wanted wanted;
    wanted.common_name = "gate.test";
    wanted.names = {"gate.test"};
    const auto made = authority.issue(wanted);
    put("link.pem", made.chain);
    put("link.key", made.key);
    put("ca.pem", authority.certificate());
  }
  // The same certificate for both ends.
  std::string tls(const std::string& certificate, const std::string& authorities) const {
    if (wish_.over != LinkOver::mutual_tls) return {};
    const std::string folder = gate.root().native() + "/";
    const std::string name = authorities == "ca" ? ", server_name: gate.test" : "";
    return ", tls: {" + certificate + ": " + folder + "link.pem, key: " + folder + "link.key, " +
           authorities + ": " + folder + "ca.pem" + name + "}";
  }

  LinkWish wish_;
  std::string address_;
};

// Shuts down every connected stream socket of a process, under both ends; gives how many.
inline int shut_down_links(pid_t pid) {
  const os::Fd process(
      os::check(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), "pidfd_open()"));
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    const int number = std::stoi(entry.path().filename());
    const os::Fd socket(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
    int type = 0;
    socklen_t size = sizeof(type);
    if (!socket || ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0) continue;
    sockaddr_storage peer{};
    socklen_t length = sizeof(peer);
    if (type != SOCK_STREAM ||
        ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &length) != 0)
      continue;
    if (::shutdown(socket.get(), SHUT_RDWR) == 0) ++count;
  }
  return count;
}

}  // namespace appserver::integration
