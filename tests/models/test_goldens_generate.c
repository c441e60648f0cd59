/* Every search of 4.37.2 and its options: beams, groups, draws that leave no choice,
 * contrastive search, the outputs of each step (tools/goldens/make_generate.py). */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-generate.txt", 105); }
