// SPDX-License-Identifier: Apache-2.0
#include "kernels/isa.h"

#include <hwy/highway.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "base/text.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

namespace upconv {

namespace kernels {

const std::vector<Isa>& isas() {
  static const std::vector<Isa> table = [] {
    std::vector<Isa> found;
    for (const Target target : hwy::SupportedAndGeneratedTargets()) found.push_back({hwy::TargetName(target), target});
    return found;
  }();
  return table;
}

int isa_index(std::string_view name) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < isas().size(); ++i) {
    if (isas()[i].name == name) return static_cast<int>(i);
    names.push_back(isas()[i].name);
  }
  throw ArgumentError("isa", base::cat("The instruction set must be one of ", base::join(names, ", "), " on this machine. ",
                                       "Received: '", base::escaped(name), "'."));
}

static std::atomic<int> chosen_isa{-1};

int default_isa_index() {
  if (const int chosen = chosen_isa.load(); chosen >= 0) return chosen;
  static const int from_environment = [] {
    const char* name = std::getenv("UPCONV_ISA");
    return name && *name ? isa_index(name) : 0;
  }();
  return from_environment;
}

/// The vendor and family that the processor tells (CPUID leaves 0 and 1; "AuthenticAMD" in EBX, EDX, ECX).
bool splits_vectors() {
#if defined(__x86_64__)
  static const bool splits = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx) || ebx != signature_AMD_ebx || ecx != signature_AMD_ecx || edx != signature_AMD_edx) return false;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return false;
    return ((eax >> 8) & 15) + ((eax >> 20) & 255) == 25;
  }();
  return splits;
#else
  return false;
#endif
}

}  // namespace kernels

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const kernels::Isa& isa : kernels::isas()) names.push_back(isa.name);
  return names;
}

std::string default_isa() { return kernels::isas()[static_cast<std::size_t>(kernels::default_isa_index())].name; }

void set_default_isa(std::string_view name) { kernels::chosen_isa = name.empty() ? -1 : kernels::isa_index(name); }

}  // namespace upconv
