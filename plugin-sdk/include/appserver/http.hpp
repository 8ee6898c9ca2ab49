// HTTP for plugins: Request, Response, Deferred, Stream.
#pragma once

#include <appserver/request.hpp>
#include <appserver/response.hpp>
