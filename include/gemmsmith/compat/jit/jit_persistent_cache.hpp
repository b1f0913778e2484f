#pragma once

// Forwarding header for sources that include "jit/jit_persistent_cache.hpp".
#include "gemmsmith/cache.h"
#include "gemmsmith/manager.h"
#include "gemmsmith/persistent_cache.h"
