#include "support/load.hpp"

#include <poll.h>
#include <sys/eventfd.h>

#include <random>
#include <sstream>
#include <utility>

#include "os/error.hpp"
#include "support/eventually.hpp"

namespace appserver::integration {

namespace {

constexpr std::size_t kBodySize = 16 * 1024;
constexpr std::size_t kFailuresShown = 20;
// Far above the slowest request, and far below the deadline of a test.
constexpr milliseconds kPatience = 15s;

// "v1" from an answer of the probe plugin: "v1\n", or "16384 v1\n" to a body. Empty if it is not
// one.
std::string version_in(const Response& response, std::size_t body_size) {
  if (!response.ok()) return {};
  std::string expected_prefix;
  if (body_size > 0) expected_prefix = std::to_string(body_size) + " ";
  const auto& body = response.body;
  if (!body.starts_with(expected_prefix) || !body.ends_with("\n")) return {};
  return body.substr(expected_prefix.size(), body.size() - expected_prefix.size() - 1);
}

pid_t worker_of(const Response& response) {
  const auto text = response.header("X-Pid");
  return text.empty() ? 0 : std::stoi(text);
}

}  // namespace

std::string Failure::text() const {
  std::ostringstream text;
  text << "+" << at.count() << " ms, " << client << ": " << what;
  if (last_worker != 0) text << " (worker " << last_worker << " answered before)";
  return text.str();
}

std::string Totals::text() const {
  std::ostringstream text;
  text << requests << " requests";
  for (const auto& [version, count] : answers) text << ", " << count << " by " << version;
  text << ", " << reconnects << " reconnects, " << failures.size() << " failed";
  for (std::size_t i = 0; i < failures.size() && i < kFailuresShown; ++i) {
    text << "\n  " << failures[i].text();
  }
  return text.str();
}

Load::Load(Endpoint endpoint, Mix mix)
    : endpoint_(std::move(endpoint)),
      mix_(std::move(mix)),
      stop_(os::check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  const int all =
      mix_.keep_alive + mix_.closing + mix_.posting + mix_.slow_keep_alive + mix_.slow_closing;
  results_.resize(static_cast<std::size_t>(all));
  start_clients({"keep-alive", true, false, false}, mix_.keep_alive);
  start_clients({"closing", false, false, false}, mix_.closing);
  start_clients({"posting", true, true, false}, mix_.posting);
  start_clients({"slow keep-alive", true, false, true}, mix_.slow_keep_alive);
  start_clients({"slow closing", false, false, true}, mix_.slow_closing);
}

Load::~Load() { stop(); }

void Load::start_clients(const Kind& kind, int count) {
  for (int i = 0; i < count; ++i) {
    const std::size_t index = clients_.size();
    clients_.emplace_back([this, kind, i, index] {
      const std::string name = std::string(kind.name) + " " + std::to_string(i);
      results_[index] = run_client(kind, name, static_cast<unsigned>(index));
    });
  }
}

bool Load::think(milliseconds longest, unsigned random) const {
  const auto time = static_cast<unsigned>(longest.count()) + 1;
  pollfd stopped{stop_.get(), POLLIN, 0};
  return ::poll(&stopped, 1, static_cast<int>(random % time)) == 0;
}

Totals Load::run_client(const Kind& kind, const std::string& name, unsigned seed) {
  std::minstd_rand random(seed + 1);
  Totals totals;
  Connection connection(endpoint_, kPatience);
  const std::string body(kind.posts ? kBodySize : 0, 'x');
  const auto slowest = static_cast<unsigned>(mix_.slowest.count()) + 1;
  pid_t last_worker = 0;
  do {
    const std::string target =
        kind.slow ? "/slow?ms=" + std::to_string(random() % slowest) : mix_.target;
    if (!connection.connected()) last_worker = 0;
    const Response response = kind.posts ? connection.post(target, body) : connection.get(target);
    const std::string version = version_in(response, body.size());
    if (version.empty() || !connection.unread().empty()) {
      const auto at = std::chrono::duration_cast<milliseconds>(Deadline::Clock::now() - start_);
      totals.failures.push_back({at, name, response.outcome, response.text(), last_worker});
      connection.close();
    } else {
      ++totals.requests;
      ++totals.answers[version];
      ++answered_;
      last_worker = worker_of(response);
    }
    if (!kind.keeps_connection || response.header("Connection") == "close") connection.close();
  } while (think(mix_.think, static_cast<unsigned>(random())));
  if (kind.keeps_connection) totals.reconnects = connection.connects() - 1;
  return totals;
}

void Load::wait_for(std::size_t answers, Deadline deadline) const {
  eventually("the load got " + std::to_string(answers) + " answers", deadline,
             [&] { return answered_ >= answers; });
}

void Load::wait_for_more(std::size_t answers, Deadline deadline) const {
  wait_for(answered_ + answers, deadline);
}

Totals Load::stop() {
  ::eventfd_write(stop_.get(), 1);
  Totals sum;
  for (auto& client : clients_) client.join();
  clients_.clear();
  for (auto& result : std::exchange(results_, {})) {
    sum.requests += result.requests;
    sum.reconnects += result.reconnects;
    for (const auto& [version, count] : result.answers) sum.answers[version] += count;
    sum.failures.insert(sum.failures.end(), result.failures.begin(), result.failures.end());
  }
  return sum;
}

}  // namespace appserver::integration
