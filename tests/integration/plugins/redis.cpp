// Answers with what a Redis says, asked through hiredis' asynchronous interface on the worker's
// loop. Setting `redis`: the path of its socket. "/?SCRIPT" sends the words of SCRIPT, joined by
// "+", as one command.
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <appserver/plugin.hpp>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace appserver;

// hiredis' hooks for event loops, over a watch. Lives as long as the connection.
class Adapter {
 public:
  static void attach(Worker& worker, redisAsyncContext* context) {
    auto* const adapter = new Adapter(worker, context);
    context->ev.data = adapter;
    context->ev.addRead = [](void* self) { wait(self, FdEvents::kRead, true); };
    context->ev.delRead = [](void* self) { wait(self, FdEvents::kRead, false); };
    context->ev.addWrite = [](void* self) { wait(self, FdEvents::kWrite, true); };
    context->ev.delWrite = [](void* self) { wait(self, FdEvents::kWrite, false); };
    context->ev.cleanup = [](void* self) { delete static_cast<Adapter*>(self); };
  }

 private:
  Adapter(Worker& worker, redisAsyncContext* context)
      : watch_(worker.watch(context->c.fd, FdEvents::kNone,
                            [this, context](FdEvents events) { ready(context, events); })) {}

  void ready(redisAsyncContext* context, FdEvents events) {
    const std::shared_ptr<bool> alive = alive_;
    if (has(events, FdEvents::kRead)) redisAsyncHandleRead(context);
    if (*alive && has(events & wanted_, FdEvents::kWrite)) redisAsyncHandleWrite(context);
  }

  static void wait(void* self, FdEvents event, bool on) {
    auto& adapter = *static_cast<Adapter*>(self);
    const FdEvents rest = event == FdEvents::kRead ? adapter.wanted_ & FdEvents::kWrite
                                                   : adapter.wanted_ & FdEvents::kRead;
    adapter.wanted_ = on ? rest | event : rest;
    adapter.watch_.change(adapter.wanted_);
  }

  struct Ends {
    std::shared_ptr<bool> alive;
    ~Ends() { *alive = false; }
  };
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  Ends ends_{alive_};
  FdEvents wanted_ = FdEvents::kNone;
  FdWatch watch_;
};

class Redis final : public Plugin {
 public:
  ~Redis() override {
    if (context_ != nullptr) redisAsyncFree(context_);
  }

  void on_request(Request& request, Response& response) override {
    if (context_ == nullptr) connect();
    std::vector<std::string> words(1);
    for (const char c : request.target().substr(std::string_view("/?").size())) {
      if (c == '+') {
        words.emplace_back();
      } else {
        words.back() += c;
      }
    }
    std::vector<const char*> starts;
    std::vector<std::size_t> sizes;
    for (const std::string& word : words) {
      starts.push_back(word.data());
      sizes.push_back(word.size());
    }
    auto later = std::make_unique<Deferred>(response.defer());
    if (redisAsyncCommandArgv(context_, &answer, later.get(), static_cast<int>(words.size()),
                              starts.data(), sizes.data()) != REDIS_OK)
      throw std::runtime_error("not connected");
    static_cast<void>(later.release());
  }

 private:
  void connect() {
    context_ = redisAsyncConnectUnix(worker().settings().get("redis", "").c_str());
    if (context_ == nullptr) throw std::bad_alloc();
    context_->data = this;
    if (context_->err != 0) {
      const std::string why = context_->errstr;
      redisAsyncFree(std::exchange(context_, nullptr));
      throw std::runtime_error(why);
    }
    Adapter::attach(worker(), context_);
    redisAsyncSetConnectCallback(context_, [](const redisAsyncContext* context, int status) {
      if (status != REDIS_OK) static_cast<Redis*>(context->data)->context_ = nullptr;
    });
    redisAsyncSetDisconnectCallback(context_, [](const redisAsyncContext* context, int) {
      static_cast<Redis*>(context->data)->context_ = nullptr;
    });
  }

  // Without a reply where the connection ends first.
  static void answer(redisAsyncContext*, void* raw, void* data) {
    const std::unique_ptr<Deferred> later(static_cast<Deferred*>(data));
    const auto* const reply = static_cast<const redisReply*>(raw);
    if (reply == nullptr) {
      later->status(503).text("no reply");
    } else if (reply->type == REDIS_REPLY_INTEGER) {
      later->text(std::to_string(reply->integer));
    } else if (reply->type == REDIS_REPLY_NIL) {
      later->text("(nil)");
    } else {
      later->status(reply->type == REDIS_REPLY_ERROR ? 500 : 200);
      later->text(std::string(reply->str, reply->len));
    }
    later->send();
  }

  redisAsyncContext* context_ = nullptr;
};

}  // namespace

APPSERVER_PLUGIN(Redis, "redis", "1.0.0")
