/* The status table of ocelli.h, spelled out. */
#include "ocelli.h"

static const struct {
    const char *name, *text;
    int exit_code, http;
} table[] = {
#define ROW(name, text, exit_code, http) { "OC_" #name, text, exit_code, http },
    OC_STATUS_MAP(ROW)
#undef ROW
};

static int row(oc_status status)
{
    return status >= 0 && status < OC_STATUS_COUNT ? (int)status : (int)OC_E_FAILED;
}

const char *oc_status_name(oc_status status) { return table[row(status)].name; }
const char *oc_status_text(oc_status status) { return table[row(status)].text; }
int oc_status_exit_code(oc_status status) { return table[row(status)].exit_code; }
int oc_status_http(oc_status status) { return table[row(status)].http; }

#define TEXT(x) #x
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

const char *oc_version(void)
{
    return VERSION(OC_VERSION_MAJOR, OC_VERSION_MINOR, OC_VERSION_PATCH);
}
