// Metrics of the plugin, in the worker's `metrics` of `appserverctl status --json`. Each is of one
// worker, and begins at 0 in the next.
#pragma once

#include <appserver/abi.h>

namespace appserver {

// Only ever grows. Any thread; copies are cheap and mean the same counter. A default-made one
// counts nothing.
class Counter {
 public:
  Counter() = default;
  Counter(const appserver_host* host, appserver_worker* worker, appserver_metric metric) noexcept
      : host_(host), worker_(worker), metric_(metric) {}

  // Values below 0 are ignored.
  void add(double value = 1) const noexcept {
    if (metric_ != 0) host_->metric_add(worker_, metric_, value);
  }

 private:
  const appserver_host* host_ = nullptr;
  appserver_worker* worker_ = nullptr;
  appserver_metric metric_ = 0;
};

// Goes up and down. Any thread; copies are cheap and mean the same gauge. A default-made one holds
// nothing.
class Gauge {
 public:
  Gauge() = default;
  Gauge(const appserver_host* host, appserver_worker* worker, appserver_metric metric) noexcept
      : host_(host), worker_(worker), metric_(metric) {}

  void set(double value) const noexcept {
    if (metric_ != 0) host_->metric_set(worker_, metric_, value);
  }
  void add(double value) const noexcept {
    if (metric_ != 0) host_->metric_add(worker_, metric_, value);
  }

 private:
  const appserver_host* host_ = nullptr;
  appserver_worker* worker_ = nullptr;
  appserver_metric metric_ = 0;
};

}  // namespace appserver
