/* Classifies one image of zeros, or one image file, with a SavedModel.
 *
 * predict FOLDER INPUT OUTPUT SIZE           zeros, float [1, SIZE, SIZE, 3]
 * predict FOLDER INPUT OUTPUT SIZE FILE      the bytes of FILE, string [1]
 *
 * INPUT and OUTPUT are names of operations, OUTPUT with the number of the output behind
 * a colon. It prints the first output as float.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static TF_Status* status;

static void check(void) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s\n", TF_Message(status));
  exit(1);
}

static TF_Tensor* zeros(int64_t size) {
  int64_t shape[] = {1, size, size, 3};
  size_t bytes = size * size * 3 * sizeof(float);
  TF_Tensor* tensor = TF_AllocateTensor(TF_FLOAT, shape, 4, bytes);
  memset(TF_TensorData(tensor), 0, bytes);
  return tensor;
}

static TF_Tensor* read_file(const char* path) {
  int64_t shape[] = {1};
  TF_Tensor* tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  static char bytes[1 << 20];
  FILE* file = fopen(path, "rb");
  size_t count = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  TF_StringInit(TF_TensorData(tensor));
  TF_StringCopy(TF_TensorData(tensor), bytes, count);
  return tensor;
}

int main(int count, char** arguments) {
  const char* tags[] = {"serve"};
  status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_Session* session =
      TF_LoadSessionFromSavedModel(TF_NewSessionOptions(), NULL, arguments[1], tags, 1,
                                   graph, NULL, status);
  check();
  char* number = strchr(arguments[3], ':');
  *number++ = 0;
  TF_Output input = {TF_GraphOperationByName(graph, arguments[2]), 0};
  TF_Output output = {TF_GraphOperationByName(graph, arguments[3]), atoi(number)};
  TF_Tensor* given =
      count > 5 ? read_file(arguments[5]) : zeros(atoi(arguments[4]));
  TF_Tensor* found = NULL;
  TF_SessionRun(session, NULL, &input, &given, 1, &output, &found, 1, NULL, 0, NULL,
                status);
  check();
  const float* values = TF_TensorData(found);
  for (int i = 0; i < TF_TensorElementCount(found); i++) printf("%.9g\n", values[i]);
  return 0;
}
