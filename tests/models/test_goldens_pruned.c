/* Heads pruned by the config, and before a call: tools/goldens/make_pruned.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-pruned.txt", 20); }
