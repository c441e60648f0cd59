/* What TensorFlow's and Flax' classes answer in another way than PyTorch's, with seeded
 * weights: tools/goldens/make_frameworks.py. */
#include "goldens.h"

int main(void) { return check_goldens("INDEX-frameworks.txt", 15); }
