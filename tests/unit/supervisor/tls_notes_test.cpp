#include "supervisor/tls_notes.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <vector>

using namespace appserver;
using namespace appserver::supervisor;
using namespace std::chrono_literals;
using std::chrono::days;

namespace {

constexpr std::chrono::sys_seconds kNow{std::chrono::sys_days{std::chrono::year(2026) / 11 / 23}};

// A certificate that has `left` to live, of `lifetime`.
TlsMaterial material(std::chrono::seconds left, std::chrono::seconds lifetime = days(90)) {
  TlsMaterial made;
  made.certificates.push_back({"/a.pem", true, {"a.test", "b.test"}, {}, {}});
  made.certificates[0].validity = {kNow + left - lifetime, kNow + left};
  return made;
}

std::vector<std::string> texts(const TlsMaterial& material) {
  std::vector<std::string> result;
  for (const TlsNote& note : notes_of(material, kNow)) result.push_back(note.text);
  return result;
}

using Texts = std::vector<std::string>;

std::string state(const TlsMaterial& material) {
  return std::string(to_word(status_of(material, kNow).certificates.at(0).state));
}

}  // namespace

TEST_CASE("a certificate is warned of two weeks before its end, with names, date and days") {
  CHECK(texts(material(days(15))).empty());
  CHECK(state(material(days(15))) == "ok");
  CHECK(texts(material(days(13) + 5h)) ==
        Texts{"the certificate /a.pem for a.test, b.test expires in 13 days "
              "(2026-12-06T05:00:00Z): renew it"});
  CHECK(state(material(days(13))) == "expiring");
  CHECK_FALSE(is_degraded(material(days(13)), kNow));
  CHECK(texts(material(2h)) == Texts{"the certificate /a.pem for a.test, b.test expires within a "
                                     "day (2026-11-23T02:00:00Z): renew it"});
}

TEST_CASE("one that lives shortly is warned of when a third of its life is left") {
  CHECK(texts(material(days(3), days(6))).empty());
  CHECK(texts(material(days(1), days(6))).size() == 1);
}

TEST_CASE("the same is told again when a week, three days and a day are left, and not between") {
  const auto about = [](std::chrono::seconds left) {
    return notes_of(material(left), kNow)
        .at(0)
        .about.substr(notes_of(material(left), kNow).at(0).about.rfind(' '));
  };
  CHECK(about(days(13)) == about(days(8)));
  CHECK(about(days(8)) != about(days(6)));
  CHECK(about(days(6)) == about(days(4)));
  CHECK(about(days(4)) != about(days(2)));
  CHECK(about(days(2)) != about(1h));
}

TEST_CASE("one that has expired, or is not valid yet, degrades its group, and says so") {
  const TlsMaterial old = material(-days(1));
  CHECK(state(old) == "expired");
  CHECK(is_degraded(old, kNow));
  CHECK(texts(old) == Texts{"the certificate /a.pem for a.test, b.test has expired on "
                            "2026-11-22T00:00:00Z; clients refuse it: renew it"});
  const TlsMaterial early = material(days(91));
  CHECK(state(early) == "not-yet-valid");
  CHECK(is_degraded(early, kNow));
}

TEST_CASE("what is kept in the place of files that are no good is told with both") {
  TlsMaterial kept = material(days(30));
  kept.certificates[0].problem = "the certificate /a.pem has expired on 2026-11-01T00:00:00Z";
  CHECK(state(kept) == "kept");
  CHECK_FALSE(is_degraded(kept, kNow));
  CHECK(texts(kept) ==
        Texts{"the files have changed and are no good: the certificate /a.pem has expired on "
              "2026-11-01T00:00:00Z; what was read before, valid until 2026-12-23T00:00:00Z, stays "
              "in use"});
  CHECK(notes_of(kept, kNow).at(0).is_error);
}

TEST_CASE("a group that serves nothing is degraded, and one that serves less is") {
  TlsMaterial none;
  none.certificates.push_back({"/a.pem", false, {}, {}, "open(/a.pem): No such file"});
  CHECK(state(none) == "not-served");
  CHECK(is_degraded(none, kNow));
  CHECK(texts(none) == Texts{"open(/a.pem): No such file; until that is mended nothing is served "
                             "under TLS"});
  none.certificates.push_back(material(days(30)).certificates[0]);
  CHECK(is_degraded(none, kNow));
  CHECK(texts(none) == Texts{"open(/a.pem): No such file; until that is mended who asks for its "
                             "names gets another certificate"});
  const control::TlsStatus status = status_of(none, kNow);
  CHECK_FALSE(status.certificates[0].not_after);
  CHECK(status.certificates[1].not_after == "2026-12-23T00:00:00Z");
  CHECK(status.certificates[1].names == std::vector<std::string>{"a.test", "b.test"});
}
