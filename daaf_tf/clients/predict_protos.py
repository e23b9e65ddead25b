"""The few messages of TensorFlow Serving's gRPC Predict, without its package.

`tensorflow-serving-api` would bring in TensorFlow and hold it to its own version. Names and numbers
are those of `tensorflow_serving/apis/{model,predict}.proto` and
`tensorflow/core/framework/{tensor,tensor_shape}.proto`; fields that we never send or read are left
out (what is left out of a message is kept, not lost, when it is parsed).
"""

from __future__ import annotations

from daaf_tf.protos import make_message_classes

METHOD = "/tensorflow.serving.PredictionService/Predict"

# Numbers of `tensorflow/core/framework/types.proto`.
DT_FLOAT = 1
DT_STRING = 7

_PROTO = """
name: "predict.proto" package: "tensorflow.serving" syntax: "proto3"
message_type { name: "Int64Value"
  field { name: "value" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 } }
message_type { name: "ModelSpec"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "version" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.Int64Value" }
  field { name: "signature_name" number: 3 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type { name: "TensorShape"
  nested_type { name: "Dim"
    field { name: "size" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 } }
  field { name: "dim" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.TensorShape.Dim" } }
message_type { name: "Tensor"
  field { name: "dtype" number: 1 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "tensor_shape" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.TensorShape" }
  field { name: "tensor_content" number: 4 label: LABEL_OPTIONAL type: TYPE_BYTES }
  field { name: "float_val" number: 5 label: LABEL_REPEATED type: TYPE_FLOAT }
  field { name: "string_val" number: 8 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "PredictRequest"
  nested_type { name: "InputsEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: ".tensorflow.serving.Tensor" } }
  field { name: "model_spec" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.ModelSpec" }
  field { name: "inputs" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictRequest.InputsEntry" }
  field { name: "output_filter" number: 3 label: LABEL_REPEATED type: TYPE_STRING } }
message_type { name: "PredictResponse"
  nested_type { name: "OutputsEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: ".tensorflow.serving.Tensor" } }
  field { name: "outputs" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictResponse.OutputsEntry" }
  field { name: "model_spec" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.ModelSpec" } }
"""

PredictRequest, PredictResponse = make_message_classes(_PROTO, "PredictRequest", "PredictResponse")
