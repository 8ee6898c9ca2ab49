// "bus/1" as a table of C functions.
#include <exception>

#include "worker/abi_text.hpp"
#include "worker/bus_host.hpp"
#include "worker/plugin_host.hpp"

namespace appserver::worker {
namespace {

// Runs call(bus) where that may be, else says why not.
template <class Call>
std::int32_t with_bus(appserver_worker* worker, Call&& call) noexcept {
  if (!worker->host.on_loop()) return APPSERVER_INVALID;
  try {
    return call(worker->host.bus());
  } catch (const std::exception& error) {
    worker->host.report_error(error.what());
    return APPSERVER_ERROR;
  }
}

bus::Header header_of(bus::Kind kind) {
  bus::Header header;
  header.kind = kind;
  return header;
}

std::int32_t publish(appserver_worker* worker, appserver_str topic,
                     appserver_str message) noexcept {
  return with_bus(worker, [&](BusHost& at) { return at.publish(text(topic), text(message)); });
}

std::int32_t subscribe(appserver_worker* worker, appserver_str topic, BusHost::Deliver call,
                       void* argument, appserver_subscription* subscription) noexcept {
  if (subscription == nullptr) return APPSERVER_INVALID;
  return with_bus(worker, [&](BusHost& at) {
    return at.subscribe(text(topic), call, argument, *subscription);
  });
}

std::int32_t unsubscribe(appserver_worker* worker, appserver_subscription subscription) noexcept {
  return with_bus(worker, [&](BusHost& at) { return at.unsubscribe(subscription); });
}

std::int32_t get(appserver_worker* worker, appserver_str key, appserver_bus_done done,
                 void* argument) noexcept {
  return with_bus(worker, [&](BusHost& at) {
    return at.operate(header_of(bus::Kind::get), text(key), {}, done, argument);
  });
}

std::int32_t set(appserver_worker* worker, appserver_str key, appserver_str value,
                 std::uint64_t ttl_ms, std::uint32_t condition, std::uint64_t version,
                 appserver_bus_done done, void* argument) noexcept {
  if (condition > APPSERVER_BUS_IF_VERSION) return APPSERVER_INVALID;
  return with_bus(worker, [&](BusHost& at) {
    bus::Header header = header_of(bus::Kind::set);
    header.detail = static_cast<std::uint8_t>(condition);
    header.number = ttl_ms;
    header.version = version;
    return at.operate(header, text(key), text(value), done, argument);
  });
}

std::int32_t add(appserver_worker* worker, appserver_str key, std::int64_t delta,
                 std::uint64_t ttl_ms, appserver_bus_done done, void* argument) noexcept {
  return with_bus(worker, [&](BusHost& at) {
    bus::Header header = header_of(bus::Kind::add);
    header.number = static_cast<std::uint64_t>(delta);
    header.version = ttl_ms;
    return at.operate(header, text(key), {}, done, argument);
  });
}

std::int32_t erase(appserver_worker* worker, appserver_str key, appserver_bus_done done,
                   void* argument) noexcept {
  return with_bus(worker, [&](BusHost& at) {
    return at.operate(header_of(bus::Kind::erase), text(key), {}, done, argument);
  });
}

std::int32_t on_reset(appserver_worker* worker, BusHost::Reset call, void* argument) noexcept {
  return with_bus(worker, [&](BusHost& at) { return at.on_reset(call, argument); });
}

}  // namespace

const appserver_bus_host& bus_host_table() {
  static const appserver_bus_host kTable{sizeof(appserver_bus_host),
                                         0,
                                         &publish,
                                         &subscribe,
                                         &unsubscribe,
                                         &get,
                                         &set,
                                         &add,
                                         &erase,
                                         &on_reset};
  return kTable;
}

}  // namespace appserver::worker
