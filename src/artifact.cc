#include "artifact.h"

namespace gemmsmith {

std::string_view ToString(Origin origin) {
  switch (origin) {
    case Origin::kCompiled:
      return "compiled";
    case Origin::kMemory:
      return "memory";
    case Origin::kDisk:
      return "disk";
    case Origin::kBundle:
      return "bundle";
  }
  return "unknown";
}

}  // namespace gemmsmith
