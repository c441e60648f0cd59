/* The folder that a program of tests writes in: made before its tests, removed behind
 * them with all that is in it. */
#ifndef OCELLI_TESTS_FOLDER_H
#define OCELLI_TESTS_FOLDER_H

extern char work_folder[32];

/* For cmocka_run_group_tests, or called by a test's own. 0 if it went well. */
int make_work_folder(void **state);
int remove_work_folder(void **state);

#endif
