// Private, and overloaded without the hook among them: the plugin's macro refuses both.
// expect: on_datagram has another signature
// expect: on_client_message_has_another_signature
#include <appserver/plugin.hpp>
#include <string_view>

using namespace appserver;

class Wrong final : public Plugin {
  void on_datagram(const Datagram&) {}
  void on_client_message(GatewayClient&, std::string_view) {}
  void on_client_message(ClientId, Message) {}
};

APPSERVER_PLUGIN(Wrong, "wrong", "1.0.0")
