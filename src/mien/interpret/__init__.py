"""What a network looks at: occlusion and gradient maps, their faithfulness, features of its layers."""
