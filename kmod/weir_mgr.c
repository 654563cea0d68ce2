// SPDX-License-Identifier: GPL-2.0
/*
 * weir_mgr.c - the buffer manager: a render node with buffers and no NPU, for a GPU or NPU whose
 * own driver imports dma-bufs.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/platform_device.h>

#include "weir.h"

#define WEIR_MGR_COMPATIBLE	"weir,buffer-manager"

static bool weir_mgr_wanted = true;
module_param_named(manager, weir_mgr_wanted, bool, 0444);
MODULE_PARM_DESC(manager, "make a buffer manager where the device tree has none (default: y)");

static struct platform_device *weir_mgr_device;

static int weir_mgr_probe(struct platform_device *pdev)
{
	struct weir_device *wdev;
	int ret;

	wdev = devm_drm_dev_alloc(&pdev->dev, &weir_render_driver, struct weir_device, drm);
	if (IS_ERR(wdev))
		return PTR_ERR(wdev);
	ret = dma_coerce_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	ret = weir_device_init(wdev);
	if (ret)
		return ret;
	platform_set_drvdata(pdev, wdev);
	return drm_dev_register(&wdev->drm, 0);
}

static void weir_mgr_remove(struct platform_device *pdev)
{
	struct weir_device *wdev = platform_get_drvdata(pdev);

	drm_dev_unplug(&wdev->drm);
	weir_device_fini(wdev);
}

static const struct of_device_id weir_mgr_of_match[] = {
	{ .compatible = WEIR_MGR_COMPATIBLE },
	{ }
};
MODULE_DEVICE_TABLE(of, weir_mgr_of_match);

static struct platform_driver weir_mgr_driver = {
	.driver = {
		.name = WEIR_NAME,
		.of_match_table = weir_mgr_of_match,
	},
	.probe = weir_mgr_probe,
	WEIR_PLATFORM_REMOVE(weir_mgr_remove),
};

static bool weir_mgr_in_tree(void)
{
	struct device_node *node = of_find_compatible_node(NULL, NULL, WEIR_MGR_COMPATIBLE);
	bool found = node && of_device_is_available(node);

	of_node_put(node);
	return found;
}

int weir_mgr_register(void)
{
	int ret;

	ret = platform_driver_register(&weir_mgr_driver);
	if (ret)
		return ret;
	if (!weir_mgr_wanted || weir_mgr_in_tree())
		return 0;
	weir_mgr_device = platform_device_register_simple(WEIR_NAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(weir_mgr_device)) {
		platform_driver_unregister(&weir_mgr_driver);
		return PTR_ERR(weir_mgr_device);
	}
	return 0;
}

void weir_mgr_unregister(void)
{
	if (weir_mgr_device)
		platform_device_unregister(weir_mgr_device);
	platform_driver_unregister(&weir_mgr_driver);
}
