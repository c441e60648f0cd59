/* Vision towers beside text towers, with seeded weights, saved and opened again:
 * tools/goldens/make_dual.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-dual.txt", 48); }
