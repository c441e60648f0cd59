/* What tests say of a context's error. */
#ifndef OCELLI_TESTS_CHECK_H
#define OCELLI_TESTS_CHECK_H

#include "ocelli.h"

/* That `what` ended with this status and `part` is in the message; clears the error. */
void check_error(oc_context *cx, const char *what, oc_status status, const char *part);

#endif
