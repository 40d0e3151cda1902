#include "restore/cpu_flags.h"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace cryopod::restore {
namespace {

// Those that only the kernel and hypervisors use.
constexpr std::string_view kKernelFlags[] = {
    "acc_power",
    "acpi",
    "amd_dcm",
    "amd_lbr_v2",
    "amd_ppin",
    "aperfmperf",
    "apic",
    "arat",
    "arch_capabilities",
    "arch_lbr",
    "arch_perfmon",
    "art",
    "avic",
    "bts",
    "bus_lock_detect",
    "cat_l2",
    "cat_l3",
    "cdp_l2",
    "cdp_l3",
    "constant_tsc",
    "cpb",
    "cppc",
    "cpuid",
    "cpuid_fault",
    "cqm",
    "cqm_llc",
    "cqm_mbm_local",
    "cqm_mbm_total",
    "cqm_occup_llc",
    "cr8_legacy",
    "dca",
    "de",
    "debug_swap",
    "decodeassists",
    "ds_cpl",
    "dtes64",
    "dtherm",
    "dts",
    "epb",
    "ept",
    "ept_ad",
    "est",
    "extapic",
    "extd_apicid",
    "flexpriority",
    "flush_l1d",
    "flushbyasid",
    "hfi",
    "ht",
    "hw_pstate",
    "hwp",
    "hwp_act_window",
    "hwp_epp",
    "hwp_notify",
    "hwp_pkg_req",
    "hypervisor",
    "ibpb",
    "ibpb_exit_to_user",
    "ibrs",
    "ibrs_enhanced",
    "ibs",
    "ibt",
    "ida",
    "intel_ppin",
    "intel_pt",
    "invpcid",
    "invpcid_single",
    "lbrv",
    "mba",
    "mca",
    "mce",
    "md_clear",
    "monitor",
    "msr",
    "mtrr",
    "mwaitx",
    "nodeid_msr",
    "nonstop_tsc",
    "nopl",
    "npt",
    "nrip_save",
    "nx",
    "osvw",
    "overflow_recov",
    "pae",
    "pat",
    "pausefilter",
    "pbe",
    "pcid",
    "pconfig",
    "pdcm",
    "pdpe1gb",
    "pebs",
    "perfctr_core",
    "perfctr_llc",
    "perfctr_nb",
    "perfmon_v2",
    "pfthreshold",
    "pge",
    "pln",
    "proc_feedback",
    "pse",
    "pse36",
    "pti",
    "ptsc",
    "pts",
    "rapl",
    "rdt_a",
    "rep_good",
    "ring3mwait",
    "sdbg",
    "sev",
    "sev_es",
    "sev_snp",
    "skinit",
    "sme",
    "smap",
    "smca",
    "smep",
    "smx",
    "split_lock_detect",
    "ss",
    "ssbd",
    "stibp",
    "succor",
    "svm",
    "svm_lock",
    "tm",
    "tm2",
    "topoext",
    "tpr_shadow",
    "tsc_adjust",
    "tsc_deadline_timer",
    "tsc_known_freq",
    "tsc_reliable",
    "tsc_scale",
    "tsxldtrk",
    "umip",
    "v_spec_ctrl",
    "v_vmsave_vmload",
    "vgif",
    "virt_ssbd",
    "vmcb_clean",
    "vme",
    "vmmcall",
    "vmx",
    "vnmi",
    "vpid",
    "wdt",
    "x2apic",
    "x2avic",
    "xtopology",
    "xtpr",
};

}  // namespace

std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo) {
  std::istringstream lines{std::string(cpuinfo)};
  for (std::string line; std::getline(lines, line);) {
    // x86 says flags, ARM says Features.
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    std::istringstream words(line.substr(colon + 1));
    std::vector<std::string> flags{std::istream_iterator<std::string>(words), {}};
    std::sort(flags.begin(), flags.end());
    return flags;
  }
  return {};
}

bool IsProgramVisible(std::string_view flag) {
  return std::find(std::begin(kKernelFlags), std::end(kKernelFlags), flag) ==
         std::end(kKernelFlags);
}

std::vector<std::string> MissingCpuFlags(const std::vector<std::string>& source,
                                         const std::vector<std::string>& target) {
  std::vector<std::string> missing;
  std::set_difference(source.begin(), source.end(), target.begin(), target.end(),
                      std::back_inserter(missing));
  std::erase_if(missing, [](const std::string& flag) { return !IsProgramVisible(flag); });
  return missing;
}

}  // namespace cryopod::restore
