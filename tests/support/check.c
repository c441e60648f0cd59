#include "support/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void check_error(oc_context *cx, const char *what, oc_status status, const char *part)
{
    if (oc_context_status(cx) != status || !strstr(oc_context_message(cx), part))
        fail_msg("%s: expected %s with \"%s\", found %s: %s", what,
                 oc_status_name(status), part, oc_status_name(oc_context_status(cx)),
                 oc_context_message(cx));
    oc_context_clear(cx);
}
