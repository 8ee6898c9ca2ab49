// A guestbook: a page with a form, over SQLite. The database's work is done beside the event loop.
//
//   appserverd --config config/guestbook.yaml, then open http://127.0.0.1:8080/
//
//   GET  /[?before=ID]   the page: the form, and the newest entries, or those before one
//   GET  /entries        the same entries as JSON
//   POST /entries        name=...&text=..., from a page of this site: 303 back to the page. A form
//                        that is sent twice (its field `form`) is one entry.
//   settings:
//     database: guestbook.db   required; any number of workers share it
//     page: 20                 entries on a page, 1 to 200
//     max_name: 64             bytes
//     max_text: 2000           bytes
//     max_entries: 100000      in the database
#include <sys/random.h>

#include <appserver/json.hpp>
#include <appserver/plugin.hpp>
#include <appserver/router.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "store.hpp"

namespace {

using appserver::Deferred;
using appserver::Outcome;
using appserver::Request;
using appserver::Response;
using guestbook::Added;
using guestbook::Entry;

using Entries = std::vector<Entry>;
// Shared, so that it can still be given where the work was not taken.
using Later = std::shared_ptr<Deferred>;

constexpr const char* kStyle = R"(* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 1rem auto; padding: 0 .5rem; }
label { display: block; margin-bottom: .5rem; }
input, textarea, button { font: inherit; width: 100%; padding: .4rem; }
article { border-top: 1px solid #ccc; padding: .5rem 0; overflow-wrap: anywhere; white-space: pre-wrap; }
)";

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

bool is_text(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = appserver::detail::utf8_length(text);
    if (length == 0 || text.front() == '\0') return false;
    text.remove_prefix(length);
  }
  return true;
}

// Browsers say where a form comes from. What says neither is no browser, and acts for nobody.
bool is_same_origin(const Request& request) {
  if (const auto origin = request.header("Origin")) {
    const std::size_t scheme = origin->find("://");
    return scheme != std::string_view::npos && origin->substr(scheme + 3) == request.header("Host");
  }
  const std::string_view site = request.header("Sec-Fetch-Site", "none");
  return site == "same-origin" || site == "none";
}

std::string fresh_form() {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw std::system_error(errno, std::generic_category(), "getrandom");
  std::string text;
  for (const unsigned byte : bytes) text.append({kHex[byte >> 4U], kHex[byte & 15U]});
  return text;
}

std::string page_of(const Entries& entries, bool may_be_more) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>guestbook</title><link rel=\"stylesheet\" href=\"style.css\">\n<h1>Guestbook</h1>\n"
      "<form method=\"post\" action=\"entries\">"
      "<label>Name <input name=\"name\" required autocomplete=\"name\"></label>"
      "<label>Text <textarea name=\"text\" rows=\"4\" required></textarea></label>"
      "<input type=\"hidden\" name=\"form\" value=\"" +
      fresh_form() + "\"><button>Sign</button></form>\n";
  for (const Entry& entry : entries)
    html += "<article><b>" + escaped(entry.name) + "</b>\n" + escaped(entry.text) + "</article>\n";
  if (may_be_more && !entries.empty())
    html += "<p><a href=\"?before=" + std::to_string(entries.back().id) + "\">older</a></p>\n";
  return html;
}

std::string json_of(const Entries& entries) {
  appserver::JsonText json;
  json.object().key("entries").array();
  for (const Entry& entry : entries) {
    json.object().key("id").value(entry.id).key("time").value(entry.time);
    json.key("name").value(entry.name).key("text").value(entry.text).end();
  }
  return json.end().end().take();
}

class Guestbook final : public appserver::Plugin {
 public:
  void self_check(appserver::Worker& worker) override {
    read(worker.settings());
    store_->check();
  }

  void on_worker_start(appserver::Worker& worker) override {
    read(worker.settings());
    store_->migrate();
    signed_ = worker.counter("guestbook_signed");
    worker.offload_limits({.threads = 2, .queue = 256});
    router_.get("/", [this](Request& request, Response& response) {
      show(request, response, [most = page_](const Entries& entries, Deferred& later) {
        const bool more = entries.size() == static_cast<std::size_t>(most);
        later.header("Cache-Control", "no-store").html(page_of(entries, more)).send();
      });
    });
    router_.get("/entries", [this](Request& request, Response& response) {
      show(request, response,
           [](const Entries& entries, Deferred& later) { later.json(json_of(entries)).send(); });
    });
    router_.post("/entries",
                 [this](Request& request, Response& response) { sign(request, response); });
    router_.get("/style.css", [](Request&, Response& response) {
      response.body(kStyle, "text/css; charset=utf-8");
    });
  }

  void on_request(Request& request, Response& response) override {
    response.header("X-Content-Type-Options", "nosniff")
        .header("Content-Security-Policy",
                "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; "
                "frame-ancestors 'none'");
    router_.serve(request, response);
  }

 private:
  void read(const appserver::Settings& settings) {
    page_ = settings.get("page", std::int64_t{20});
    max_name_ = settings.get("max_name", std::size_t{64});
    max_text_ = settings.get("max_text", std::size_t{2000});
    max_entries_ = settings.get("max_entries", std::int64_t{100'000});
    if (page_ < 1 || page_ > 200)
      throw std::invalid_argument("setting \"page\" is " + std::to_string(page_) +
                                  ", expected 1 to 200");
    store_ = std::make_unique<guestbook::Store>(settings.require("database"));
  }

  // Calls work() beside the loop, then done(T, Deferred&) on it. Whatever fails is answered.
  template <class Work, class Done>
  void later(Response& response, Work&& work, Done&& done) {
    const auto later = std::make_shared<Deferred>(response.defer());
    try {
      worker().offload(std::forward<Work>(work),
                       [this, later, done = std::forward<Done>(done)](auto outcome) mutable {
                         this->answer(*later, outcome, done);
                       });
    } catch (const appserver::OffloadFull&) {
      say(*later, 503, "too many ask at once, try again later\n");
    }
  }

  template <class T, class Done>
  void answer(Deferred& later, Outcome<T>& outcome, Done& done) {
    try {
      done(outcome.value(), later);
    } catch (const appserver::sqlite::Error& error) {
      worker().error(error.what());
      say(later, error.is_busy() ? 503 : 500, "the guestbook cannot be written or read now\n");
    }
  }

  static void say(Deferred& later, int status, const char* text) {
    if (status == 503) later.header("Retry-After", "5");
    later.status(status).text(text).send();
  }

  template <class Give>
  void show(Request& request, Response& response, Give&& give) {
    const auto below = request.query("before", std::numeric_limits<std::int64_t>::max());
    later(
        response, [this, below] { return store_->list(below, page_); }, std::forward<Give>(give));
  }

  void sign(Request& request, Response& response) {
    if (!is_same_origin(request)) {
      response.status(403).text("only a page of this site may sign\n");
      return;
    }
    Entry entry{0, now(), request.form("name").value_or(""), request.form("text").value_or("")};
    const std::string form = request.form("form").value_or("");
    constexpr std::size_t kMaxForm = 64;
    if (entry.name.empty() || entry.name.size() > max_name_ || entry.text.empty() ||
        entry.text.size() > max_text_ || form.size() > kMaxForm || !is_text(entry.name) ||
        !is_text(entry.text) || !is_text(form)) {
      response.status(400).text("a name has 1 to " + std::to_string(max_name_) +
                                " bytes, a text 1 to " + std::to_string(max_text_) +
                                ", both UTF-8\n");
      return;
    }
    later(
        response,
        [this, entry = std::move(entry), form] { return store_->add(entry, form, max_entries_); },
        [this](Added added, Deferred& later) {
          if (added == Added::full) return say(later, 507, "the guestbook is full\n");
          if (added == Added::added) signed_.add();
          later.status(303).header("Location", ".").text("signed\n").send();
        });
  }

  static std::int64_t now() {
    return std::chrono::floor<std::chrono::seconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }

  appserver::Router router_;
  std::unique_ptr<guestbook::Store> store_;
  appserver::Counter signed_;
  std::int64_t page_ = 20;
  std::int64_t max_entries_ = 100'000;
  std::size_t max_name_ = 64;
  std::size_t max_text_ = 2000;
};

}  // namespace

APPSERVER_PLUGIN(Guestbook, "guestbook", "1.0.0")
