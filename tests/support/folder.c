#include "support/folder.h"

#include <stdio.h>
#include <stdlib.h>

char work_folder[32] = "/tmp/ocelli-test-XXXXXX";

int make_work_folder(void **state)
{
    (void)state;
    return mkdtemp(work_folder) ? 0 : -1;
}

int remove_work_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", work_folder);
    return system(command);
}
