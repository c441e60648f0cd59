/* Every vision encoder before every decoder, with seeded weights, saved and opened again:
 * tools/goldens/make_pairs.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-pairs.txt", 105); }
