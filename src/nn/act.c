#include "nn/act.h"

#include <string.h>

static const struct {
    const char *name;
    oci_act act;
} names[] = {       /* of several names of one function the first is the one that
                       is written */
    { "gelu", OCI_ACT_GELU }, { "gelu_python", OCI_ACT_GELU },
    { "gelu_new", OCI_ACT_GELU_NEW }, { "gelu_fast", OCI_ACT_GELU_NEW },
    { "gelu_accurate", OCI_ACT_GELU_NEW }, { "gelu_pytorch_tanh", OCI_ACT_GELU_NEW },
    { "quick_gelu", OCI_ACT_QUICK_GELU }, { "relu", OCI_ACT_RELU },
    { "silu", OCI_ACT_SILU }, { "swish", OCI_ACT_SILU }, { "tanh", OCI_ACT_TANH },
    { "sigmoid", OCI_ACT_SIGMOID }, { "gelu_10", OCI_ACT_GELU_10 },
    { "laplace", OCI_ACT_LAPLACE }, { "leaky_relu", OCI_ACT_LEAKY_RELU },
    { "mish", OCI_ACT_MISH }, { "relu2", OCI_ACT_RELU2 }, { "relu6", OCI_ACT_RELU6 },
    { "linear", OCI_ACT_NONE },
};

enum { NAMES = sizeof names / sizeof *names };

bool oci_act_find(const char *name, oci_act *act)
{
    for (int i = 0; i < NAMES; i++)
        if (!strcmp(names[i].name, name)) {
            *act = names[i].act;
            return true;
        }
    return false;
}

const char *oci_act_name(oci_act act)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].act == act) return names[i].name;
    return "linear";
}
